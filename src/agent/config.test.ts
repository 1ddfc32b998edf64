/** The configuration file of an agent: what is left out, what is refused, and that the guide knows every key. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { AgentConfig, parseAgentConfig } from './config.ts';

const least = 'host: h1\nserver: https://192.0.2.1:7600\n';
const guide = readFileSync(new URL('../../docs/agent.md', import.meta.url), 'utf8');

test('what is left out has its default, also where a part of the speaker is said', () => {
  const { speaker } = parseAgentConfig(least, 'agent.yaml');
  assert.deepEqual(speaker, { dir: '/etc/romana/bgp', mode: 'own' });
  const told = parseAgentConfig(
    `${least}speaker: { control: /run/bird/bird.ctl, mode: include }\n`,
    'agent.yaml',
  );
  assert.deepEqual(told.speaker, { dir: '/etc/romana/bgp', control: '/run/bird/bird.ctl', mode: 'include' });
});

for (const [what, text, place] of [
  ['a relative folder', 'speaker: { dir: bgp }', /speaker\.dir: an absolute path/],
  ['an unknown key', 'speaker: { daemon: bird }', /speaker: .*daemon/],
  ['another mode', 'speaker: { mode: both }', /speaker\.mode/],
  ['no mapping', 'speaker: bird', /speaker: /],
] as const) {
  test(`${what} is refused with its place`, () => {
    assert.throws(() => parseAgentConfig(`${least}${text}\n`, 'agent.yaml'), {
      code: 'input_invalid',
      message: place,
    });
  });
}

test('the guide has every key', () => {
  const { shape } = AgentConfig;
  const keys = [...Object.keys(shape), ...Object.keys(shape.speaker.unwrap().shape)];
  assert.deepEqual(
    keys.filter((key) => !guide.includes(`\`${key}\``)),
    [],
  );
});

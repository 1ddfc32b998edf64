/** What a daemon cannot do is refused before a line of its configuration is written: a session without what was asked for is none. */
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { BgpIntent } from '#core/routing/model.ts';
import { notUp, type SpeakerCapabilities, type SpeakerPlace, type SpeakerStatus } from '../speaker.ts';

/** Throws speaker_unfit. */
export function requireFit(program: string, can: SpeakerCapabilities, intent: BgpIntent): void {
  for (const peer of intent.peers) {
    const lacks = lacking(can, peer);
    if (lacks === null) continue;
    throw new RomanaError(
      'speaker_unfit',
      `${program} cannot do ${lacks}, which the fabric asks for towards ${peer.name}; choose another daemon for this group or take it out of the fabric.`,
      { details: { daemon: intent.daemon, peer: peer.name } },
    );
  }
}

function lacking(can: SpeakerCapabilities, peer: BgpIntent['peers'][number]): string | null {
  if (peer.address === null && !can.unnumbered) return 'unnumbered sessions';
  if (peer.bfd !== null && !can.bfd) return 'BFD';
  if (peer.ttlSecurity && !can.ttlSecurity) return 'TTL security';
  if (peer.passwordFile !== null && !can.passwords) return 'passwords';
  return null;
}

/** Texts that stand in configuration files and scripts as they are. They were judged where they came from; here once more. */
export function requirePlainIntent({ routerId, communities, peers }: BgpIntent): void {
  const wrong = [
    ...(/^\d+(\.\d+){3}$/.test(routerId) ? [] : [routerId]),
    ...communities.filter((text) => !/^\d+(:\d+){1,2}$/.test(text)),
    ...peers.map(({ name }) => name).filter((name) => !/^[\w.-]+$/.test(name)),
  ];
  if (wrong.length === 0) return;
  throw new RomanaError(
    'input_invalid',
    `${JSON.stringify(wrong[0])} is no router id, BGP community or name of a device that a configuration can hold.`,
  );
}

/** Configuration files and scripts hold these paths as they are, so nothing in them may mean something there. */
export function requirePlainPaths({ dir, control }: SpeakerPlace): void {
  for (const path of [dir, control]) {
    if (/^\/[\w./@+-]*$/.test(path)) continue;
    throw new RomanaError(
      'input_invalid',
      `The path ${path} of the BGP daemon must be absolute and made of letters, digits and ./_@+- only.`,
    );
  }
}

/** Of a daemon that does not answer. `requireKnown` tells its version, or throws speaker_unfit with what it found. */
export async function absentStatus(
  requireKnown: () => Promise<string>,
  problem: string,
): Promise<SpeakerStatus> {
  try {
    return notUp('down', await requireKnown(), problem);
  } catch (error) {
    if (!isRomanaError(error)) throw error;
    const { version } = (error.details ?? {}) as { version?: string };
    return notUp('unfit', version ?? null, error.message);
  }
}

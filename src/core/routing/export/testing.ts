/**
 * Small readers of what is exported, for tests. They know the languages of the devices and nothing of how Romana writes them; a line that
 * they do not know is a fault.
 */
import assert from 'node:assert/strict';
import {
  type Address,
  cidrOf,
  formatAddress,
  formatCidr,
  parseAddress,
  parseCidr,
} from '../../address/index.ts';

export interface ReadSession {
  asn: number;
  readonly in: string[];
  readonly out: string[];
  /** What else is said of it, by name. */
  readonly more: Record<string, string>;
}
export interface ReadDevice {
  /** `10.0.0.0/8 drop`, `10.0.0.0/9 via 192.0.2.1 192.0.2.2`. */
  readonly routes: string[];
  /** By address of the neighbour. */
  readonly sessions: Record<string, ReadSession>;
  /** Prefixes announced from here (not those that sessions bring). */
  readonly networks: string[];
}

class Routes {
  readonly #hops = new Map<string, string[] | 'drop'>();

  add(cidr: string, hop: string | null): void {
    const key = formatCidr(parseCidr(cidr));
    const known = this.#hops.get(key);
    if (hop === null) {
      assert.equal(known, undefined, `${key} is there twice`);
      this.#hops.set(key, 'drop');
      return;
    }
    assert.notEqual(known, 'drop', `${key} is dropped and forwarded`);
    const text = formatAddress(parseAddress(hop));
    this.#hops.set(key, [...(known === undefined || known === 'drop' ? [] : known), text]);
  }

  shown(): string[] {
    return [...this.#hops].map(([cidr, hops]) =>
      hops === 'drop' ? `${cidr} drop` : `${cidr} via ${hops.toSorted().join(' ')}`,
    );
  }
}

function linesOf(text: string, comment: string): string[] {
  assert.ok(text.endsWith('\n') && !text.includes('\t') && !/ \n/.test(text), 'plain lines');
  return text.split('\n').filter((line) => line !== '' && !line.trimStart().startsWith(comment));
}

function ofMask(address: string, mask: string): string {
  const { w0 } = parseAddress(mask);
  const length = w0 === 0 ? 0 : 32 - Math.log2((~w0 >>> 0) + 1);
  assert.ok(Number.isInteger(length), `${mask} is a mask`);
  const a: Address = parseAddress(address);
  assert.equal(formatAddress(cidrOf(a, length).address), address, `${address} ${mask} has host bits`);
  return `${address}/${length}`;
}

export function readIproute2(text: string): ReadDevice {
  const routes = new Routes();
  for (const line of linesOf(text, '#')) {
    const dropped = /^route replace blackhole (\S+)$/.exec(line);
    if (dropped !== null) {
      routes.add(dropped[1]!, null);
      continue;
    }
    const [, cidr, way] = /^route replace (\S+) ((?:nexthop )?via .+)$/.exec(line) ?? assert.fail(line);
    const hops = way!.startsWith('nexthop') ? way!.split(/ ?nexthop /).filter((part) => part !== '') : [way!];
    assert.ok(!way!.startsWith('nexthop') || hops.length > 1, line);
    for (const hop of hops)
      routes.add(cidr!, (/^via (?:inet6 )?(\S+)(?: dev \S+)?$/.exec(hop) ?? assert.fail(hop))[1]!);
  }
  return { routes: routes.shown(), sessions: {}, networks: [] };
}

/** Both languages; where a mask is written decides which. */
export function readCisco(text: string): ReadDevice {
  const routes = new Routes();
  const lists = new Map<string, string[]>();
  const sessions: Record<string, ReadSession> = {};
  const uses: { address: string; direction: 'in' | 'out'; list: string }[] = [];
  const active = new Set<string>();
  const networks: string[] = [];
  let list: string[] | undefined;
  let where: 'top' | 'bgp' | 'family' = 'top';
  const session = (address: string): ReadSession =>
    (sessions[formatAddress(parseAddress(address))] ??= { asn: 0, in: [], out: [], more: {} });
  const listOf = (name: string): string[] => {
    const known = lists.get(name) ?? [];
    lists.set(name, known);
    return known;
  };
  for (const line of linesOf(text, '!')) {
    const words = line.trim().split(' ');
    const [first, second, third, fourth] = words;
    if (!line.startsWith(' ')) {
      list = undefined;
      where = 'top';
    }
    if (first === 'seq' && list !== undefined) list.push(words.slice(2).join(' '));
    else if (/^(ip|ipv6)$/.test(first!) && second === 'route') {
      const masked = first === 'ip' && !third!.includes('/');
      const cidr = masked ? ofMask(third!, fourth!) : third!;
      const rest = words.slice(masked ? 4 : 3);
      assert.equal(rest.length, 1, line);
      routes.add(cidr, rest[0] === 'Null0' ? null : rest[0]!);
    } else if (/^(ip|ipv6)$/.test(first!) && second === 'prefix-list') {
      list = listOf(third!);
      if (words.length > 3) list.push(words.slice(3).join(' '));
    } else if (line === 'ip routing' || line === 'ipv6 unicast-routing') continue;
    else if (first === 'router') {
      assert.match(line, /^router bgp \d+$/);
      where = 'bgp';
    } else if (first === 'address-family') where = 'family';
    else if (first === 'exit-address-family') where = 'bgp';
    else if (first === 'network') {
      assert.equal(where, 'family');
      networks.push(third === 'mask' ? ofMask(second!, fourth!) : formatCidr(parseCidr(second!)));
    } else if (first === 'neighbor') {
      assert.notEqual(where, 'top', line);
      const of = session(second!);
      if (third === 'remote-as') of.asn = Number(fourth);
      else if (third === 'activate') active.add(second!);
      else if (third === 'prefix-list')
        uses.push({ address: second!, list: fourth!, direction: words[4] === 'in' ? 'in' : 'out' });
      else of.more[third!] = words.slice(3).join(' ');
    } else assert.match(line, /^ +(no )?(bgp|timers|maximum-paths|graceful-restart|router-id) ?/, line);
  }
  for (const { address, direction, list: name } of uses) {
    const entries = lists.get(name) ?? assert.fail(`no prefix-list ${name}`);
    assert.ok(entries.length > 0, `${name} is empty, which permits everything`);
    const last = entries.at(-1)!;
    assert.ok(
      entries.slice(0, -1).every((entry) => entry.startsWith('permit ')),
      `${name} denies before its end`,
    );
    assert.match(last, /^(permit \S+( le \d+)?|deny (0\.0\.0\.0\/0 le 32|::\/0 le 128))$/);
    session(address)[direction].push(
      ...entries.flatMap((entry) => (entry.startsWith('permit ') ? [entry.slice('permit '.length)] : [])),
    );
  }
  for (const address of Object.keys(sessions)) {
    assert.ok(active.has(address), `${address} is not activated`);
    for (const direction of ['in', 'out'] as const)
      assert.ok(
        uses.some((use) => use.address === address && use.direction === direction),
        `${address} has no filter ${direction}`,
      );
  }
  return { routes: routes.shown(), sessions, networks };
}

export function readJunos(text: string): ReadDevice {
  const routes = new Routes();
  const policies = new Map<
    string,
    { permits: string[]; accepts: boolean; rejects: boolean; self: boolean }
  >();
  const sessions: Record<string, ReadSession> = {};
  const types = new Map<string, string>();
  const groups = new Map<string, string>();
  const policy = (name: string) => {
    const known = policies.get(name) ?? { permits: [], accepts: false, rejects: false, self: false };
    policies.set(name, known);
    return known;
  };
  let own = 0;
  for (const line of linesOf(text, '#')) {
    const removed = /^delete policy-options policy-statement (\S+)$/.exec(line);
    if (removed !== null) {
      assert.ok(!policies.has(removed[1]!), 'nothing is removed that was just written');
      continue;
    }
    const words = (/^set (.+)$/.exec(line) ?? assert.fail(line))[1]!;
    let found: RegExpExecArray | null;
    if (
      (found = /^routing-options(?: rib (inet6\.0))? static route (\S+) (discard|next-hop (\S+))$/.exec(
        words,
      ))
    ) {
      assert.equal(found[1] === undefined, !found[2]!.includes(':'), `${found[2]} is in the wrong table`);
      routes.add(found[2]!, found[4] ?? null);
    } else if ((found = /^routing-options autonomous-system (\d+)$/.exec(words))) own = Number(found[1]);
    else if ((found = /^policy-options policy-statement (\S+) (.+)$/.exec(words))) {
      const of = policy(found[1]!);
      const filter = /^term ours from route-filter (\S+) (exact|orlonger)$/.exec(found[2]!);
      if (filter !== null) {
        const width = filter[1]!.includes(':') ? 128 : 32;
        of.permits.push(filter[2] === 'exact' ? filter[1]! : `${filter[1]} le ${width}`);
      } else if (found[2] === 'term ours then accept') of.accepts = true;
      else if (found[2] === 'term ours then next-hop self') of.self = true;
      else if (found[2] === 'then reject') of.rejects = true;
      else assert.equal(line, 'set policy-options policy-statement romana-ecmp then load-balance per-packet');
    } else if ((found = /^protocols bgp group (\S+) (type|cluster) (\S+)$/.exec(words))) {
      if (found[2] === 'type') types.set(found[1]!, found[3]!);
    } else if ((found = /^protocols bgp group (\S+) neighbor (\S+) (\S+) (.+)$/.exec(words))) {
      const of = (sessions[found[2]!] ??= { asn: 0, in: [], out: [], more: {} });
      groups.set(found[2]!, found[1]!);
      const [key, value] = [found[3]!, found[4]!];
      if (key === 'peer-as') of.asn = Number(value);
      else if (key === 'import' || key === 'export') {
        const named = policies.get(value) ?? assert.fail(`no policy ${value}`);
        assert.ok(named.rejects, `${value} does not end by refusing`);
        assert.equal(named.accepts, named.permits.length > 0, `${value} accepts what it lists`);
        of[key === 'import' ? 'in' : 'out'].push(...named.permits);
        if (key === 'export' && named.permits.length > 0) assert.ok(named.self, `${value} sets the next hop`);
      } else of.more[key] = [of.more[key], value].filter((part) => part !== undefined).join('; ');
    } else
      assert.match(
        words,
        /^(routing-options (router-id|graceful-restart|forwarding-table)|protocols bgp (graceful-restart|multipath))/,
        line,
      );
  }
  for (const [address, of] of Object.entries(sessions)) {
    const internal = types.get(groups.get(address)!) === 'internal';
    if (internal) {
      assert.equal(of.asn, 0);
      of.asn = own;
    }
    assert.ok(of.asn > 0, `${address} has no AS number`);
  }
  return { routes: routes.shown(), sessions, networks: [] };
}

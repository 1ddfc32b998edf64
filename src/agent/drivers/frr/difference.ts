/**
 * From the configuration that FRR runs to the one it is to run, line by line; pure. Compared is only what is Romana's: the BGP router,
 * and lists, maps and profiles of Romana's names.
 *
 * 1. What a filter is to let through is added before what it is for, and taken away after it.
 * 2. A line with another value replaces the old one; it is not taken away first, which could end a session or open a filter.
 * 3. Sessions that are in both are not touched.
 */

/** One line with the lines that it stands under. */
interface Line {
  readonly path: readonly string[];
  readonly text: string;
}

/** Null: nothing to do. `keys`: what differs, for a comparison that is to overlook it. */
export function difference(
  runningText: string,
  wantedText: string,
  overlooked: ReadonlySet<string>,
): { readonly commands: string; readonly keys: readonly string[] } | null {
  const running = linesOf(runningText);
  const wanted = linesOf(wantedText);
  const has = new Set(running.map(keyOf));
  const wants = new Set(wanted.map(keyOf));
  const added = wanted.filter((line) => !has.has(keyOf(line)) && !overlooked.has(keyOf(line)));
  const removed = outermost(
    running.filter((line) => !wants.has(keyOf(line)) && !overlooked.has(keyOf(line))),
  );
  if (added.length === 0 && removed.length === 0) return null;
  const [addedRouter, addedRest] = split(added);
  const [removedRouter, removedRest] = split(removed);
  const commands = [
    ...spell(numbered(addedRest, running)),
    ...routerRemovals(removedRouter, added, wanted),
    ...spell(addedRouter),
    ...spell(withoutReplaced(removedRest, added).map(negated)),
  ];
  return { commands: `${commands.join('\n')}\n`, keys: [...added, ...removed].map(keyOf) };
}

/** The prefixes of `network` lines. */
export function networksOf(text: string): string[] {
  return linesOf(text).flatMap(({ text }) => {
    const found = /^network (\S+\/\d+)/.exec(text)?.[1];
    return found === undefined ? [] : [found];
  });
}

function linesOf(text: string): Line[] {
  const found: Line[] = [];
  const path: string[] = [];
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    if (line === '' || line.startsWith('!') || /^(exit|exit-address-family|end)$/.test(line)) continue;
    const depth = raw.length - raw.trimStart().length;
    path.length = Math.min(path.length, depth);
    if (isOurs(path[0] ?? line, path[1] ?? line)) found.push({ path: [...path], text: line });
    path.push(line);
  }
  return found.filter(({ text }) => text !== 'bfd' && !text.startsWith('address-family '));
}

function isOurs(top: string, second: string): boolean {
  return (
    /^router bgp \d+$/.test(top) ||
    /^(ip|ipv6) prefix-list ROMANA/.test(top) ||
    top.startsWith('route-map ROMANA') ||
    (top === 'bfd' && (second === 'bfd' || second.startsWith('profile romana-')))
  );
}

/** A profile's name says what it holds, and FRR shows no value that is its default: what it holds is there when the profile is. */
function keyOf({ path, text }: Line): string {
  if (path[0] === 'bfd' && path.length > 1) return path.join(' / ');
  return [...path, text.replace(/^(ip|ipv6) prefix-list (\S+) seq \d+ /, '$1 prefix-list $2 ')].join(' / ');
}

/** What goes takes with it what stands under it. */
function outermost(lines: readonly Line[]): Line[] {
  const all = new Set(lines.map(({ path, text }) => [...path, text].join('\n')));
  return lines.filter(({ path }) => !path.some((_, i) => all.has(path.slice(0, i + 1).join('\n'))));
}

function split(lines: readonly Line[]): [Line[], Line[]] {
  const isRouter = ({ path, text }: Line): boolean => (path[0] ?? text).startsWith('router bgp ');
  return [lines.filter(isRouter), lines.filter((line) => !isRouter(line))];
}

/** A router of another AS goes as a whole; so does a neighbour that is wanted no more. */
function routerRemovals(removed: readonly Line[], added: readonly Line[], wanted: readonly Line[]): string[] {
  const routers = removed.filter(({ path }) => path.length === 0).map(({ text }) => text);
  const inside = removed.filter(({ path }) => path.length > 0);
  const wantedPeers = new Set(wanted.flatMap(peerOf));
  const goners = inside.filter((line) => peerOf(line).some((peer) => !wantedPeers.has(peer)));
  const gone = goners.flatMap(peerOf);
  const rest = inside.filter(({ text }) => !gone.some((peer) => text.startsWith(`neighbor ${peer} `)));
  return [
    ...routers.map((text) => `no ${text}`),
    ...spell([...goners, ...withoutReplaced(rest, added)].sort(deeperFirst).map(negated)),
  ];
}

function deeperFirst(a: Line, b: Line): number {
  return b.path.length - a.path.length;
}

function peerOf({ text }: Line): string[] {
  const found = /^neighbor (\S+) (?:interface )?remote-as /.exec(text)?.[1];
  return found === undefined ? [] : [found];
}

/** Lines that have one value: the words before it. */
const single = [
  /^neighbor \S+ (?:remote-as|interface remote-as|description|password|update-source|timers connect|timers|ttl-security hops|bfd profile|maximum-prefix|advertisement-interval)(?= )/,
  /^(?:bgp router-id|bgp graceful-restart restart-time|bgp graceful-restart stalepath-time|bgp graceful-restart select-defer-time|maximum-paths ibgp|maximum-paths|set community|set large-community)(?= )/,
];

function slotOf({ path, text }: Line): string {
  const list = /^(neighbor \S+ (?:prefix-list|route-map)) \S+ (in|out)$/.exec(text);
  const words =
    list === null
      ? single.map((pattern) => pattern.exec(text)?.[0]).find((found) => found !== undefined)
      : list.slice(1).join(' ');
  return [...path, words ?? text].join(' / ');
}

function withoutReplaced(removed: readonly Line[], added: readonly Line[]): Line[] {
  const slots = new Set(added.map(slotOf));
  return removed.filter((line) => !slots.has(slotOf(line)));
}

function negated({ path, text }: Line): Line {
  return { path, text: text.startsWith('no ') ? text.slice(3) : `no ${text}` };
}

/** New entries of prefix lists get numbers that the running list does not use. */
function numbered(added: readonly Line[], running: readonly Line[]): Line[] {
  const highest = new Map<string, number>();
  const entry = /^((?:ip|ipv6) prefix-list \S+) seq (\d+) (permit .*)$/;
  for (const { text } of running) {
    const [, list = '', number = '0'] = entry.exec(text) ?? [];
    highest.set(list, Math.max(highest.get(list) ?? 0, Number(number)));
  }
  return added.map((line) => {
    const [, list, , rest] = entry.exec(line.text) ?? [];
    if (list === undefined) return line;
    const number = (highest.get(list) ?? 0) + 5;
    highest.set(list, number);
    return { path: line.path, text: `${list} seq ${number} ${rest}` };
  });
}

/** Each line under the ones that it stands under. */
function spell(lines: readonly Line[]): string[] {
  const out: string[] = [];
  let at: readonly string[] = [];
  const leave = (): void => {
    if (at[1]?.startsWith('address-family ') === true) out.push(' exit-address-family');
  };
  for (const { path, text } of lines) {
    if (path.join('\n') !== at.join('\n')) {
      leave();
      out.push(...path.map((part, depth) => `${' '.repeat(depth)}${part}`));
      at = path;
    }
    out.push(`${' '.repeat(path.length)}${text}`);
  }
  leave();
  return out;
}

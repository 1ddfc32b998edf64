/**
 * A shell of FRR in memory, for tests: it reads what Romana writes and shows what it runs, as far as that goes. It notes what must never
 * be on the way from one configuration to the next.
 */
export interface ShellState {
  /** Blocks and lines as the real one shows them. */
  readonly tops: Map<string, Map<string, Set<string>>>;
  /** What went wrong on the way. */
  readonly faults: string[];
}

export function emptyShell(): ShellState {
  return { tops: new Map(), faults: [] };
}

/** Lines that hold one value: the words that name it. */
const slots =
  /^(neighbor \S+ (?:remote-as|interface remote-as|description|password|update-source|timers(?= \d)|timers connect|ttl-security|bfd profile|maximum-prefix|advertisement-interval)|bgp router-id|bgp graceful-restart (?:restart-time|stalepath-time|select-defer-time)|maximum-paths(?= \d)|maximum-paths ibgp|set community|set large-community)/;

function slotOf(line: string): string | null {
  const list = /^(neighbor \S+ (?:prefix-list|route-map)) \S+ (in|out)$/.exec(line);
  return list === null ? (slots.exec(line)?.[0] ?? null) : `${list[1]} ${list[2]}`;
}

export function feed(state: ShellState, text: string): void {
  let top = '';
  let sub = '';
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    if (line === '' || line.startsWith('!') || /^(frr |log )/.test(line)) continue;
    if (line === 'exit-address-family') {
      sub = '';
      continue;
    }
    const depth = raw.length - raw.trimStart().length;
    if (depth === 0) {
      top = '';
      sub = '';
      if (/^no (router bgp|route-map)/.test(line)) state.tops.delete(line.slice(3));
      else if (/^(no )?(ip|ipv6) prefix-list/.test(line)) prefixList(state, line);
      else {
        if (
          line.startsWith('router bgp') &&
          [...state.tops.keys()].some((key) => key.startsWith('router bgp') && key !== line)
        )
          state.faults.push(`a second router: ${line}`);
        top = line;
        if (!state.tops.has(top)) state.tops.set(top, new Map([['', new Set()]]));
      }
    } else if (/^(address-family|profile) /.test(line)) {
      sub = line;
      const subs = state.tops.get(top);
      if (subs !== undefined && !subs.has(sub)) subs.set(sub, new Set());
    } else if (line.startsWith('no profile ')) state.tops.get(top)?.delete(line.slice(3));
    else if (depth === 1) change(state, top, '', line);
    else change(state, top, sub, line);
    check(state, line);
  }
}

function prefixList(state: ShellState, line: string): void {
  const [, no, , family, name, seq, rest] =
    /^(no )?((ip|ipv6) prefix-list (\S+)) seq (\d+) (.*)$/.exec(line) ?? [];
  const key = `${family} prefix-list ${name}`;
  const entries = state.tops.get(key)?.get('') ?? new Set<string>();
  state.tops.set(key, new Map([['', entries]]));
  const entry = `seq ${seq} ${rest}`;
  if (no !== undefined) {
    if (!entries.delete(entry)) state.faults.push(`no such entry: ${line}`);
  } else {
    for (const other of entries)
      if (other.startsWith(`seq ${seq} `)) state.faults.push(`${line} in place of ${other}`);
    entries.add(entry);
  }
  if (entries.size === 0) state.faults.push(`empty, which permits everything: ${key}`);
}

function change(state: ShellState, top: string, sub: string, line: string): void {
  const lines = state.tops.get(top)?.get(sub);
  if (lines === undefined) return void state.faults.push(`nowhere: ${top} ${sub} ${line}`);
  const peer = /^no neighbor (\S+) (?:interface )?remote-as/.exec(line)?.[1];
  if (peer !== undefined) {
    for (const set of state.tops.get(top)?.values() ?? [])
      for (const other of set) if (other.startsWith(`neighbor ${peer} `)) set.delete(other);
    return;
  }
  const positive = line.startsWith('no ') ? line.slice(3) : `no ${line}`;
  if (lines.delete(positive)) return;
  if (line.startsWith('no ') && !/^no bgp (default|network)/.test(line))
    return void state.faults.push(`not there: ${line}`);
  const slot = slotOf(line);
  for (const other of lines) if (slot !== null && slotOf(other) === slot) lines.delete(other);
  lines.add(line);
}

/** A family that is active has its filters, at each moment. */
function check(state: ShellState, at: string): void {
  for (const [top, subs] of state.tops) {
    for (const [sub, lines] of top.startsWith('router bgp') ? subs : []) {
      for (const line of lines) {
        if (!line.endsWith(' activate')) continue;
        const who = line.slice(0, -' activate'.length);
        for (const way of ['in', 'out']) {
          if (![...lines].some((line) => line.startsWith(`${who} prefix-list `) && line.endsWith(` ${way}`)))
            state.faults.push(`${who} of ${sub} has no filter ${way} after: ${at}`);
        }
      }
    }
  }
}

/** As `show running-config` has it; values of profiles are defaults, which it does not show. */
export function show({ tops }: ShellState): string {
  const lines = [
    'Building configuration...',
    '',
    'Current configuration:',
    '!',
    'frr version 8.4.4',
    'hostname h',
    '!',
  ];
  for (const [top, subs] of tops) {
    if (/prefix-list/.test(top)) {
      for (const entry of subs.get('') ?? []) lines.push(`${top} ${entry}`);
      continue;
    }
    lines.push(top);
    for (const line of subs.get('') ?? []) lines.push(` ${line}`);
    for (const [sub, inner] of subs) {
      if (sub === '') continue;
      lines.push(' !', ` ${sub}`);
      if (!sub.startsWith('profile')) for (const line of inner) lines.push(`  ${line}`);
      lines.push(sub.startsWith('profile') ? ' exit' : ' exit-address-family');
    }
    lines.push('exit', '!');
  }
  return [...lines, 'end', ''].join('\n');
}

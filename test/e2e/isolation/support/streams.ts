/**
 * Conversations that go on while something changes: both sides send a numbered message every 10 ms, each says how many it has sent
 * and taken in. TCP counts complete messages in order and notices any byte that is lost or wrong; UDP and ICMP count packets.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { netnsPath } from '#lab/network.ts';
import { eventually } from './lab.ts';

const program = String.raw`
use strict; use warnings;
use Socket qw(:DEFAULT inet_pton pack_sockaddr_in pack_sockaddr_in6 IPPROTO_ICMP IPPROTO_ICMPV6);
use IO::Handle; use Errno qw(EAGAIN EINTR ECONNREFUSED EPERM EHOSTUNREACH ENETUNREACH EINPROGRESS); use POSIX ();
my ($protocol, $role, $local, $sport, $remote, $dport) = @ARGV;
my $six = "$local$remote" =~ /:/;
my $family = $six ? AF_INET6 : AF_INET;
sub at { my ($a, $p) = @_; my $n = inet_pton($family, $a) // die "address $a\n"; return $six ? pack_sockaddr_in6($p, $n) : pack_sockaddr_in($p, $n) }
my $any = $six ? '::' : '0.0.0.0';
$SIG{PIPE} = 'IGNORE'; $| = 1;
my ($state, $sent, $received, $bad, $out, $in, $sending) = ('waiting', 0, 0, 0, '', '', 1);
my ($listener, $s);
my $id = $$ & 0xffff;
if ($protocol eq 'icmp') {
  socket($s, $family, SOCK_RAW, $six ? IPPROTO_ICMPV6 : IPPROTO_ICMP) or die "raw socket: $!\n";
  connect($s, at($remote, 0)) or die "connect: $!\n";
  $s->blocking(0); $state = 'open';
} else {
  my $type = $protocol eq 'tcp' ? SOCK_STREAM : SOCK_DGRAM;
  socket(my $new, $family, $type, 0) or die "socket: $!\n";
  setsockopt($new, SOL_SOCKET, SO_REUSEADDR, 1);
  setsockopt($new, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) if $protocol eq 'tcp';
  bind($new, at($role eq 'listen' || $local eq '-' ? $any : $local, $sport)) or die "bind: $!\n";
  $new->blocking(0);
  if ($role eq 'listen') {
    if ($protocol eq 'tcp') { listen($new, 8) or die "listen: $!\n"; $listener = $new } else { $s = $new }
  } else {
    my $done = connect($new, at($remote, $dport));
    die "connect: $!\n" unless $done || $! == EINPROGRESS;
    $s = $new; $state = $protocol eq 'udp' ? 'open' : 'connecting';
  }
}
sub over { my $why = shift; $state = "closed: $why"; close $s if $s; undef $s }
sub soft { return $! == EAGAIN || $! == EINTR }
sub message {
  return pack('N', $sent) if $protocol ne 'icmp';
  my $m = pack('CCnnn', $six ? 128 : 8, 0, 0, $id, $sent & 0xffff) . 'stream01';
  if (!$six) { my $sum = 0; $sum += $_ for unpack('n*', $m); $sum = ($sum >> 16) + ($sum & 0xffff); $sum += $sum >> 16; substr($m, 2, 2) = pack('n', ~$sum & 0xffff) }
  return $m;
}
sub tick {
  return unless $sending && $state eq 'open';
  if ($protocol eq 'tcp') {
    $out .= message(); $sent++;
    my $n = syswrite($s, $out);
    if (defined $n) { substr($out, 0, $n) = '' } elsif (!soft()) { over("$!") }
  } elsif (defined syswrite($s, message())) { $sent++ }
}
sub take {
  if ($protocol eq 'tcp') {
    my $n = sysread($s, $in, 65536, length $in);
    return if !defined $n && soft();
    return over(defined $n ? 'end' : "$!") unless $n;
    while (length $in >= 4) { my $got = unpack('N', substr($in, 0, 4, '')); $bad++ if $got != $received; $received++ }
  } elsif ($protocol eq 'udp') {
    my $peer = recv($s, my $data, 2048, 0);
    return unless defined $peer;
    if ($state eq 'waiting') { connect($s, $peer) or die "connect: $!\n"; $state = 'open' }
    $received++;
  } else {
    return unless defined recv($s, my $data, 2048, 0);
    my $icmp = $six ? $data : substr($data, (ord($data) & 15) * 4);
    my ($type, $code, $sum, $got) = unpack('CCnn', $icmp);
    $received++ if $type == ($six ? 129 : 0) && $got == $id;
  }
}
my $SYS_clock = (POSIX::uname())[4] =~ /^aarch64/ ? 113 : 228;
sub now { my $t = pack('qq', 0, 0); syscall($SYS_clock, 1, $t); my ($s, $n) = unpack('qq', $t); return $s + $n / 1e9 }
print "ready\n";
my $next = now();
while (1) {
  my $time = now();
  if ($time >= $next) { tick(); $next = $time + 0.01 }
  my ($r, $w) = ('', '');
  vec($r, fileno(STDIN), 1) = 1;
  vec($r, fileno($listener), 1) = 1 if $listener;
  vec($r, fileno($s), 1) = 1 if $s && $state ne 'connecting';
  vec($w, fileno($s), 1) = 1 if $s && $state eq 'connecting';
  my $n = select($r, $w, undef, $state eq 'open' && $sending ? $next - $time : 1);
  next if $n <= 0;
  if ($listener && vec($r, fileno($listener), 1) && accept(my $c, $listener)) {
    setsockopt($c, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
    close $s if $s; $c->blocking(0); $s = $c; ($state, $sent, $received, $bad, $out, $in) = ('open', 0, 0, 0, '', '');
    next;
  }
  if ($s && $state eq 'connecting' && vec($w, fileno($s), 1)) {
    $! = unpack('i', getsockopt($s, SOL_SOCKET, SO_ERROR));
    if ($! != 0) { over("$!") } else { $state = 'open' }
  } elsif ($s && $state ne 'connecting' && vec($r, fileno($s), 1)) { take() }
  if (vec($r, fileno(STDIN), 1)) {
    my $n = sysread(STDIN, my $line, 4096);
    exit 0 unless $n;
    for my $c (split /\n/, $line) {
      if ($c eq 'pause') { $sending = 0 } elsif ($c eq 'resume') { $sending = 1 }
      print "$sent $received $bad ", length $out, " $state\n";
    }
  }
}
`;

export interface Stat {
  readonly sent: number;
  readonly received: number;
  /** Messages out of order. */
  readonly bad: number;
  readonly state: string;
}
export interface Side {
  readonly namespace: string;
  readonly address: string;
}

class Talker {
  readonly #child: ChildProcess;
  readonly #lines: Interface;
  readonly #waiting: ((line: string) => void)[] = [];
  #error = '';
  readonly ready: Promise<void>;

  constructor(namespace: string, args: readonly (string | number)[]) {
    const enter = ['nsenter', `--net=${netnsPath(namespace)}`, '--', 'perl', '-e', program, '--'];
    const argv = ['--pdeathsig', 'KILL', '--', ...enter, ...args.map(String)];
    this.#child = spawn('setpriv', argv, {
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
      stdio: 'pipe',
    });
    this.#child.stdin?.on('error', () => undefined);
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#error += chunk.toString()));
    if (this.#child.stdout === null) throw new Error('no pipe');
    this.#lines = createInterface(this.#child.stdout);
    this.ready = this.#line().then(() => undefined);
    this.#lines.on('line', (line) => this.#waiting.shift()?.(line));
    this.#child.once('close', () => {
      for (const waiting of this.#waiting.splice(0)) waiting(`0 0 0 0 dead: ${this.#error.trim()}`);
    });
  }

  #line(): Promise<string> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async ask(command: 'stat' | 'pause' | 'resume'): Promise<Stat> {
    if (this.#child.exitCode !== null) return { sent: 0, received: 0, bad: 0, state: `dead: ${this.#error}` };
    const line = this.#line();
    this.#child.stdin?.write(`${command}\n`);
    const [sent, received, bad, , ...state] = (await line).split(' ');
    return { sent: Number(sent), received: Number(received), bad: Number(bad), state: state.join(' ') };
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

export interface StreamWish {
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  readonly from: Side;
  readonly to: Side;
  readonly port: number;
  readonly sourcePort?: number;
}
export interface Totals {
  readonly from: Stat;
  readonly to: Stat;
}

const begun: Stream[] = [];

/** Those of tests that failed too: their processes would keep the test from ending. */
export function endStreams(): void {
  for (const stream of begun.splice(0)) stream.end();
}

/** One conversation. With ICMP only one side speaks; the kernel of the other answers, and `to` counts the answers. */
export class Stream {
  readonly wish: StreamWish;
  readonly name: string;
  readonly #a: Talker;
  readonly #b: Talker | null;

  private constructor(wish: StreamWish, a: Talker, b: Talker | null) {
    this.wish = wish;
    this.#a = a;
    this.#b = b;
    begun.push(this);
    this.name = `${wish.protocol} ${wish.from.namespace} ${wish.from.address} -> ${wish.to.namespace} ${wish.to.address}`;
  }

  /** Does not wait for it to be established. */
  static async begin(wish: StreamWish): Promise<Stream> {
    const { protocol, from, to, port, sourcePort = port + 1000 } = wish;
    if (protocol === 'icmp')
      return new Stream(
        wish,
        new Talker(from.namespace, ['icmp', 'connect', from.address, 0, to.address, 0]),
        null,
      );
    const b = new Talker(to.namespace, [protocol, 'listen', to.address, port, '', 0]);
    await b.ready;
    return new Stream(
      wish,
      new Talker(from.namespace, [protocol, 'connect', from.address, sourcePort, to.address, port]),
      b,
    );
  }

  async #all(command: 'stat' | 'pause' | 'resume'): Promise<Totals> {
    const [from, to] = await Promise.all([this.#a.ask(command), this.#b?.ask(command)]);
    return { from, to: to ?? { ...from, sent: from.received, received: from.received } };
  }

  stat(): Promise<Totals> {
    return this.#all('stat');
  }

  /**
   * Until each side has taken in `more` messages more than now. TCP tries again at ever longer intervals, after some lost packets
   * half a minute apart: the neighbour tables are shared with all that runs on the machine and may be full for a while.
   */
  async flows(more = 20): Promise<void> {
    const start = await this.stat();
    let now = start;
    await eventually(
      `sure that ${this.name} flows`,
      async () => {
        now = await this.stat();
        return now.from.received >= start.from.received + more && now.to.received >= start.to.received + more
          ? true
          : undefined;
      },
      70_000,
    ).catch((error: unknown) => {
      throw new Error(`${this.name} does not flow: ${JSON.stringify({ start, now })}`, { cause: error });
    });
  }

  /** Watches for as long as the first side makes `attempts` attempts; the messages that got through, each way. */
  async throughput(attempts: number): Promise<{ to: number; from: number }> {
    const start = await this.stat();
    return eventually(`done with ${attempts} attempts of ${this.name}`, async () => {
      const now = await this.stat();
      if (now.from.sent < start.from.sent + attempts) return undefined;
      return { to: now.to.received - start.to.received, from: now.from.received - start.from.received };
    });
  }

  /** Both stop sending; resolves with the totals when everything sent has come, or with what came when the limit is over. */
  async drain(timeoutMs = 10_000): Promise<Totals> {
    await this.#all('pause');
    let last = await this.stat();
    const complete = (): boolean => last.to.received >= last.from.sent && last.from.received >= last.to.sent;
    await eventually(
      'drained',
      async () => ((last = await this.stat()), complete() ? true : undefined),
      timeoutMs,
    ).catch(() => undefined);
    return last;
  }

  /** Closes abruptly: nothing of it stays in either namespace. */
  end(): void {
    this.#a.kill();
    this.#b?.kill();
  }
}

/** Nothing lost: TCP in order to the last message, UDP and ICMP every packet. What is wrong, empty if nothing. */
export async function losses(stream: Stream): Promise<string[]> {
  const { from, to } = await stream.drain();
  const wrong = [
    ...(from.state === 'open' ? [] : [`first side is ${from.state}`]),
    ...(to.state === 'open' ? [] : [`second side is ${to.state}`]),
    ...(from.bad + to.bad === 0 ? [] : [`${from.bad + to.bad} messages out of order`]),
    ...(to.received === from.sent ? [] : [`${from.sent} sent, ${to.received} received`]),
    ...(from.received === to.sent ? [] : [`${to.sent} sent back, ${from.received} received`]),
  ];
  return wrong.map((text) => `${stream.name}: ${text}`);
}

/**
 * The program that sends and answers probes, in Perl (perl-base is on every Debian): one process of a few MB serves all namespaces
 * because a socket stays in the namespace it was created in. It is kept as text so that it needs no file beside the bundle.
 *
 * Lines in:  `listen NETNS PORT` · `close NETNS` · `probe ID NETNS FAMILY PROTOCOL ADDRESS PORT TIMEOUT_MS TRIES SIZE`
 * Lines out: `listening NETNS` · `closed NETNS` · `result ID allow|deny|error REASON` · `failed NETNS REASON`
 * SIZE 0 is a small packet; otherwise the size of the whole IP packet, sent with fragmentation forbidden (icmp only).
 */
export const probeHelper = String.raw`
use strict; use warnings;
use Socket qw(:DEFAULT inet_pton pack_sockaddr_in pack_sockaddr_in6 unpack_sockaddr_in unpack_sockaddr_in6
  IPPROTO_ICMP IPPROTO_ICMPV6 IPPROTO_IPV6 IPV6_V6ONLY);
use IO::Handle; use Errno qw(EINPROGRESS EAGAIN EINTR); use POSIX ();
my $arm = (POSIX::uname())[4] =~ /^aarch64/;
my ($SYS_setns, $SYS_clock) = $arm ? (268, 113) : (308, 228);
my ($POLLIN, $POLLOUT) = (1, 4);
$SIG{PIPE} = 'IGNORE';

sub now { my $t = pack('qq', 0, 0); syscall($SYS_clock, 1, $t); my ($s, $n) = unpack('qq', $t); return $s * 1000 + $n / 1e6 }

my $current = '';
sub enter {
  my $path = shift;
  return if $path eq $current;
  open(my $fh, '<', $path) or die "$path: $!\n";
  syscall($SYS_setns, fileno($fh), 0x40000000) == 0 or die "setns $path: $!\n";
  $current = $path;
}

my %fds; # file number -> [handle, events, callback]
sub watch { my ($h, $events, $cb) = @_; $fds{fileno $h} = [$h, $events, $cb] }
sub forget { my $h = shift; return unless defined $h && defined fileno $h; delete $fds{fileno $h}; close $h }
sub say_line { my $text = "@_\n"; while (length $text) { my $n = syswrite(STDOUT, $text); exit 0 unless defined $n; substr($text, 0, $n) = '' } }

my %answers; # netns -> listening sockets
sub listen_in {
  my ($ns, $port) = @_;
  enter($ns);
  my $address = pack_sockaddr_in6($port, inet_pton(AF_INET6, '::'));
  socket(my $tcp, AF_INET6, SOCK_STREAM, 0) or die "tcp socket: $!\n";
  setsockopt($tcp, SOL_SOCKET, SO_REUSEADDR, 1);
  setsockopt($tcp, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  bind($tcp, $address) or die "tcp bind: $!\n";
  listen($tcp, 1024) or die "listen: $!\n";
  socket(my $udp, AF_INET6, SOCK_DGRAM, 0) or die "udp socket: $!\n";
  setsockopt($udp, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  bind($udp, $address) or die "udp bind: $!\n";
  $_->blocking(0) for $tcp, $udp;
  watch($tcp, $POLLIN, sub {
    while (accept(my $c, $tcp)) {
      $c->blocking(0);
      watch($c, $POLLIN, sub {
        my $n = sysread($c, my $data, 4096);
        return if !defined $n && ($! == EAGAIN || $! == EINTR);
        return forget($c) unless $n;
        syswrite($c, $data);
      });
    }
  });
  watch($udp, $POLLIN, sub {
    while (defined(my $peer = recv($udp, my $data, 4096, 0))) { send($udp, $data, 0, $peer) }
  });
  $answers{$ns} = [$tcp, $udp];
}

my %raw;    # "netns family df" -> raw socket
my %echoes; # echo id -> probe
my $next_echo = int(rand 65536);
sub checksum {
  my $data = shift; $data .= "\0" if length($data) % 2;
  my $sum = 0; $sum += $_ for unpack('n*', $data);
  $sum = ($sum >> 16) + ($sum & 0xffff); $sum += $sum >> 16;
  return ~$sum & 0xffff;
}
sub raw_socket {
  my ($ns, $family, $df) = @_;
  my $key = "$ns $family $df";
  return $raw{$key} if $raw{$key};
  enter($ns);
  my $s;
  socket($s, $family == 4 ? AF_INET : AF_INET6, SOCK_RAW, $family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6) or die "raw socket: $!\n";
  if ($df) { # IP_MTU_DISCOVER / IPV6_MTU_DISCOVER = DO
    setsockopt($s, $family == 4 ? 0 : IPPROTO_IPV6, $family == 4 ? 10 : 23, 2) or die "mtu discover: $!\n";
  }
  setsockopt($s, SOL_SOCKET, SO_RCVBUF, 1 << 20);
  $s->blocking(0);
  watch($s, $POLLIN, sub {
    while (defined(my $peer = recv($s, my $data, 65536, 0))) {
      my $icmp = $family == 4 ? substr($data, (ord($data) & 15) * 4) : $data;
      next if length($icmp) < 8;
      my ($type, $code, $sum, $id) = unpack('CCnn', $icmp);
      next unless $type == ($family == 4 ? 0 : 129);
      my $p = $echoes{$id} or next;
      my $from = $family == 4 ? (unpack_sockaddr_in($peer))[1] : (unpack_sockaddr_in6($peer))[1];
      finish($p, 'allow', 'echo') if $p->{ns} eq $ns && $p->{target} eq $from;
    }
  });
  return $raw{$key} = $s;
}

my %active; my @waiting; # id -> probe; probes not yet begun
sub release { my $p = shift; forget(delete $p->{sock}) if $p->{sock}; delete $echoes{delete $p->{echo}} if defined $p->{echo} }
sub finish { my ($p, $verdict, $reason) = @_; release($p); delete $active{$p->{id}}; $reason =~ s/\s+/ /g; say_line('result', $p->{id}, $verdict, $reason) }
sub refuse { my $p = shift; finish($p, 'deny', "$!") }

sub try_once {
  my $p = shift;
  $p->{tries}--; $p->{deadline} = now() + $p->{timeout};
  enter($p->{ns});
  my $domain = $p->{family} == 4 ? AF_INET : AF_INET6;
  my $port = $p->{protocol} =~ /^icmp/ ? 0 : $p->{port};
  my $to = $p->{family} == 4 ? pack_sockaddr_in($port, $p->{target}) : pack_sockaddr_in6($port, $p->{target});
  if ($p->{protocol} =~ /^icmp/) {
    my $s = raw_socket($p->{ns}, $p->{family}, $p->{size} ? 1 : 0);
    do { $next_echo = ($next_echo + 1) & 0xffff } while $echoes{$next_echo};
    $p->{echo} = $next_echo; $echoes{$next_echo} = $p;
    my $length = $p->{size} ? $p->{size} - ($p->{family} == 4 ? 28 : 48) : 16;
    my $message = pack('CCnnn', $p->{family} == 4 ? 8 : 128, 0, 0, $next_echo, $p->{tries}) . ('r' x $length);
    substr($message, 2, 2) = pack('n', checksum($message)) if $p->{family} == 4;
    return refuse($p) unless defined send($s, $message, 0, $to);
    return;
  }
  my $tcp = $p->{protocol} eq 'tcp';
  my $s;
  socket($s, $domain, $tcp ? SOCK_STREAM : SOCK_DGRAM, 0) or die "socket: $!\n";
  $s->blocking(0); $p->{sock} = $s;
  my $token = "romana $p->{id}";
  my $read = sub {
    my $n = sysread($s, my $data, 4096);
    return if !defined $n && ($! == EAGAIN || $! == EINTR);
    return refuse($p) unless defined $n;
    return finish($p, 'deny', 'closed by the other side') if $n == 0 && $tcp;
    finish($p, 'allow', 'answered') if $data eq $token;
  };
  my $write = sub { return refuse($p) unless defined syswrite($s, $token); watch($s, $POLLIN, $read) };
  my $done = connect($s, $to);
  return refuse($p) unless $done || $! == EINPROGRESS;
  return $write->() unless $tcp;
  watch($s, $POLLOUT, sub {
    $! = unpack('i', getsockopt($s, SOL_SOCKET, SO_ERROR));
    return refuse($p) if $! != 0;
    $write->();
  });
}
sub guarded { my $p = shift; eval { try_once($p); 1 } or do { my $e = $@; chomp $e; finish($p, 'error', $e) } }

my $buffer = '';
sub command {
  my ($verb, @f) = split / /, shift;
  if ($verb eq 'listen') {
    if (eval { listen_in(@f); 1 }) { say_line('listening', $f[0]) } else { my $e = $@; chomp $e; say_line('failed', $f[0], $e) }
  } elsif ($verb eq 'close') {
    forget($_) for @{ delete $answers{$f[0]} || [] };
    for my $key (grep { index($_, "$f[0] ") == 0 } keys %raw) { forget(delete $raw{$key}) }
    $current = '' if $current eq $f[0];
    say_line('closed', $f[0]);
  } elsif ($verb eq 'probe') {
    my %p; @p{qw(id ns family protocol address port timeout tries size)} = @f;
    $p{target} = inet_pton($p{family} == 4 ? AF_INET : AF_INET6, $p{address});
    return say_line('result', $p{id}, 'error', "not an address: $p{address}") unless defined $p{target};
    push @waiting, \%p;
  }
}
STDIN->blocking(0);
watch(\*STDIN, $POLLIN, sub {
  my $n = sysread(STDIN, my $data, 65536);
  return if !defined $n && ($! == EAGAIN || $! == EINTR);
  exit 0 unless $n;
  $buffer .= $data;
  while ($buffer =~ s/^([^\n]*)\n//) { command($1) }
});

while (1) {
  while (@waiting && keys(%active) < 800) { my $p = shift @waiting; $active{$p->{id}} = $p; guarded($p) }
  my $wait = -1;
  if (%active) {
    my $first; for (values %active) { $first = $_->{deadline} if !defined $first || $_->{deadline} < $first }
    $wait = int($first - now()) + 1; $wait = 0 if $wait < 0;
  }
  my @poll = map { ($_, $fds{$_}[1]) } keys %fds;
  IO::Poll::_poll($wait, @poll);
  while (@poll) {
    my ($fd, $events) = splice(@poll, 0, 2);
    next unless $events; my $entry = $fds{$fd} or next;
    $entry->[2]->();
  }
  my $time = now();
  for my $p (values %active) {
    next if $p->{deadline} > $time;
    release($p);
    if ($p->{tries} > 0) { guarded($p) } else { finish($p, 'deny', 'no answer') }
  }
}
`;

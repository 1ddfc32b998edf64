/** Programs that the product and its tests run, and the Debian packages that hold them. `scripts/bootstrap` has the same list. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

export const packageOf: Readonly<Record<string, string>> = {
  flock: 'util-linux',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  ip: 'iproute2',
  nft: 'nftables',
  conntrack: 'conntrack',
  ps: 'procps',
  sysctl: 'procps',
  ping: 'iputils-ping',
  tcpdump: 'tcpdump',
  perl: 'perl-base',
  bird: 'bird2',
  birdc: 'bird2',
  vtysh: 'frr',
  '/usr/lib/frr/bgpd': 'frr',
  '/usr/lib/frr/frr-reload.py': 'frr-pythontools',
  exabgp: 'exabgp',
  gobgpd: 'gobgpd',
  gobgp: 'gobgpd',
};

function present(program: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'];
  const paths = program.startsWith('/') ? [program] : folders.map((folder) => join(folder, program));
  return paths.some((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

export function missingPrograms(): string[] {
  return Object.keys(packageOf).filter((program) => !present(program));
}

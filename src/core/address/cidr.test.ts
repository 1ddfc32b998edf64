import assert from 'node:assert/strict';
import { BlockList } from 'node:net';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { Address4, Address6 } from 'ip-address';
import * as arbitrary from '../testing/arbitrary.ts';
import {
  type Address,
  addressPlus,
  addressToBigInt,
  type Cidr,
  cidrOf,
  compareCidr,
  containsAddress,
  containsCidr,
  equalCidr,
  firstAddress,
  formatAddress,
  formatCidr,
  hostRoute,
  lastAddress,
  maskOf,
  overlaps,
  parentOf,
  parseAddress,
  parseCidr,
  sizeOf,
  splitCidr,
  tryParseCidr,
  widthOf,
} from './index.ts';

const malformed = [
  '',
  '/',
  '/8',
  '10.0.0.0',
  '10.0.0.0/',
  '10.0.0.0/08',
  '10.0.0.0/00',
  '10.0.0.0/33',
  '10.0.0.0/-1',
  '10.0.0.0/+8',
  '10.0.0.0/8 ',
  ' 10.0.0.0/8',
  '10.0.0.0/ 8',
  '10.0.0.0/8/8',
  '10.0.0.0/8.0',
  '10.0.0.0/0x8',
  '10.0.0.0/1e1',
  '10.0.0.0/255.0.0.0',
  '10/8',
  '010.0.0.0/8',
  '10.0.0.1/8',
  '10.0.0.1/31',
  '0.0.0.1/0',
  'fd10::/129',
  'fd10::/016',
  'fd10::1/16',
  '::1/0',
  '::1/127',
  'fd10::',
  'fe80::%eth0/64',
  'fd10::/16%eth0',
  'fd10:/16',
  'fd10::/1000',
  '::ffff:10.0.0.1/104',
];

function oracle(c: Cidr): Address4 | Address6 {
  return c.address.family === 4 ? new Address4(formatCidr(c)) : new Address6(formatCidr(c));
}

function boundaries(c: Cidr): Address[] {
  const ends = [firstAddress(c), lastAddress(c)];
  return [...ends, ...ends.flatMap((a) => [addressPlus(a, 1), addressPlus(a, -1)])].filter(
    (a) => a !== undefined,
  );
}

describe('CIDRs', () => {
  for (const text of malformed) {
    it(`refuses ${JSON.stringify(text)}, and says so`, () => {
      assert.equal(tryParseCidr(text), undefined);
      assert.throws(
        () => parseCidr(text),
        (error: Error & { code?: string }) =>
          error.code === 'cidr_invalid' && error.message.includes(JSON.stringify(text)),
      );
    });
  }

  it('says which CIDR was meant when host bits are set', () => {
    assert.throws(() => parseCidr('10.1.2.3/8'), { message: /did you mean 10\.0\.0\.0\/8/ });
    assert.throws(() => parseCidr('fd10:1::2/16'), { message: /did you mean fd10::\/16/ });
  });

  it('reads back what it wrote; ends and size agree with ip-address', () => {
    fc.assert(
      fc.property(arbitrary.cidr, (c) => {
        assert.deepEqual(parseCidr(formatCidr(c)), c);
        const other = oracle(c);
        assert.equal(addressToBigInt(firstAddress(c)), other.startAddress().bigInt());
        assert.equal(addressToBigInt(lastAddress(c)), other.endAddress().bigInt());
        assert.equal(sizeOf(c), addressToBigInt(lastAddress(c)) - addressToBigInt(firstAddress(c)) + 1n);
        assert.deepEqual(cidrOf(lastAddress(c), c.length), c);
      }),
    );
  });

  it('contains what net.BlockList and ip-address say, at each boundary', () => {
    fc.assert(
      fc.property(arbitrary.cidr, arbitrary.address, (c, a) => {
        const type = c.address.family === 4 ? 'ipv4' : 'ipv6';
        const list = new BlockList();
        list.addSubnet(formatAddress(c.address), c.length, type);
        for (const at of [...boundaries(c), ...(a.family === c.address.family ? [a] : [])]) {
          const number = addressToBigInt(at);
          const inside =
            number >= addressToBigInt(firstAddress(c)) && number <= addressToBigInt(lastAddress(c));
          assert.equal(containsAddress(c, at), inside);
          assert.equal(list.check(formatAddress(at), type), inside, `${formatCidr(c)} ${formatAddress(at)}`);
        }
        if (a.family !== c.address.family) assert.equal(containsAddress(c, a), false);
      }),
      { numRuns: 300 },
    );
  });

  it('CIDRs are nested or disjoint', () => {
    fc.assert(
      fc.property(arbitrary.crowdedCidr, arbitrary.crowdedCidr, (a, b) => {
        const same = a.address.family === b.address.family;
        const low = (c: Cidr): bigint => addressToBigInt(firstAddress(c));
        const high = (c: Cidr): bigint => addressToBigInt(lastAddress(c));
        assert.equal(containsCidr(a, b), same && low(a) <= low(b) && high(b) <= high(a));
        assert.equal(overlaps(a, b), same && low(a) <= high(b) && low(b) <= high(a));
        assert.equal(overlaps(a, b), containsCidr(a, b) || containsCidr(b, a));
        assert.equal(compareCidr(a, b) === 0, equalCidr(a, b));
        assert.equal(compareCidr(a, b) < 0, compareCidr(b, a) > 0);
      }),
      { numRuns: 500 },
    );
  });

  it('parts are equal, in order, and fill the whole', () => {
    fc.assert(
      fc.property(arbitrary.cidr, fc.integer({ min: 0, max: 32 }), fc.nat(), (c, wanted, seed) => {
        const bits = Math.min(wanted, widthOf(c.address.family) - c.length);
        const last = 2 ** bits - 1;
        assert.deepEqual(splitCidr(c, bits, 0).address, c.address);
        assert.deepEqual(lastAddress(splitCidr(c, bits, last)), lastAddress(c));
        const index = seed % (last + 1);
        const part = splitCidr(c, bits, index);
        assert.equal(
          addressToBigInt(part.address),
          addressToBigInt(c.address) + BigInt(index) * sizeOf(part),
        );
        assert.throws(() => splitCidr(c, bits, last + 1), { code: 'id_out_of_range' });
        assert.throws(() => splitCidr(c, bits, -1), { code: 'id_out_of_range' });
        assert.throws(() => splitCidr(c, bits, 0.5), { code: 'id_out_of_range' });
      }),
    );
    assert.throws(() => splitCidr(parseCidr('10.0.0.0/30'), 3, 0), { code: 'cidr_invalid' });
    assert.throws(() => splitCidr(parseCidr('::/0'), 33, 0), { code: 'cidr_invalid' });
    assert.throws(() => splitCidr(parseCidr('::/0'), -1, 0), { code: 'cidr_invalid' });
  });

  it('a parent is one bit shorter; /0 has none', () => {
    assert.equal(parentOf(parseCidr('0.0.0.0/0')), undefined);
    assert.equal(parentOf(parseCidr('::/0')), undefined);
    assert.deepEqual(parentOf(parseCidr('10.0.0.1/32')), parseCidr('10.0.0.0/31'));
    assert.deepEqual(parentOf(parseCidr('fd00::3/128')), parseCidr('fd00::2/127'));
    assert.deepEqual(parentOf(parseCidr('128.0.0.0/1')), parseCidr('0.0.0.0/0'));
  });

  it('boundary lengths, both families', () => {
    const cases: [text: string, last: string, size: bigint][] = [
      ['0.0.0.0/0', '255.255.255.255', 1n << 32n],
      ['255.255.255.254/31', '255.255.255.255', 2n],
      ['255.255.255.255/32', '255.255.255.255', 1n],
      ['::/0', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 1n << 128n],
      ['fd10::/32', 'fd10:0:ffff:ffff:ffff:ffff:ffff:ffff', 1n << 96n],
      ['fd10::/33', 'fd10:0:7fff:ffff:ffff:ffff:ffff:ffff', 1n << 95n],
      ['fd10::/64', 'fd10::ffff:ffff:ffff:ffff', 1n << 64n],
      ['fd10::fffe/127', 'fd10::ffff', 2n],
      ['fd10::1/128', 'fd10::1', 1n],
    ];
    for (const [text, last, size] of cases) {
      assert.equal(formatAddress(lastAddress(parseCidr(text))), last);
      assert.equal(sizeOf(parseCidr(text)), size);
    }
    assert.equal(formatCidr(hostRoute(parseAddress('10.0.0.1'))), '10.0.0.1/32');
    assert.equal(formatCidr(hostRoute(parseAddress('fd00::1'))), 'fd00::1/128');
    assert.equal(formatAddress(maskOf(4, 0)), '0.0.0.0');
    assert.equal(formatAddress(maskOf(4, 32)), '255.255.255.255');
    assert.equal(formatAddress(maskOf(6, 65)), 'ffff:ffff:ffff:ffff:8000::');
    for (const length of [-1, 33, 0.5, Number.NaN])
      assert.throws(() => maskOf(4, length), { code: 'cidr_invalid' });
    assert.throws(() => cidrOf(parseAddress('::'), 129), { code: 'cidr_invalid' });
  });
});

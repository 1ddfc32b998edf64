import assert from 'node:assert/strict';
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { Address4, Address6 } from 'ip-address';
import * as arbitrary from '../testing/arbitrary.ts';
import {
  addressFromBigInt,
  addressFromBytes,
  addressFromWords,
  addressPlus,
  addressToBigInt,
  addressToBytes,
  addressToWords,
  compareAddress,
  equalAddress,
  formatAddress,
  parseAddress,
  parseInto,
  tryParseAddress,
  widthOf,
} from './index.ts';

const malformed = [
  '',
  ' ',
  '.',
  ':',
  ':::',
  '...',
  '10',
  '4294967295',
  '0x0a000001',
  '1.2.3',
  '1.2.3.',
  '.1.2.3',
  '1..2.3',
  '1.2.3.4.',
  '1.2.3.4.5',
  '256.1.1.1',
  '1.256.1.1',
  '1.1.1.256',
  '1.1.1.999',
  '010.0.0.1',
  '10.00.0.1',
  '10.0.0.01',
  '00.0.0.0',
  '-1.0.0.0',
  '+1.0.0.0',
  '1.2.3.4 ',
  ' 1.2.3.4',
  '1.2.3.4\n',
  '1.2.3.a',
  '１.2.3.4',
  '1,2,3,4',
  '10.0.0.0/8',
  '1e1.0.0.0',
  '12345::',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:',
  ':1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:',
  ':1:2:3:4:5:6:7:8',
  '1::2::3',
  '1:::2',
  '::1::',
  '1:2:3:4:5:6:7:8::',
  '::1:2:3:4:5:6:7:8',
  '1::2:3:4:5:6:7:8',
  '1:2:3:4::5:6:7:8',
  'g::',
  '::g',
  'fe80::1%eth0',
  'fe80::1%',
  '::1%1',
  '[::1]',
  '::1/128',
  '1:2',
  '1:',
  ':1',
  '::1 ',
  ' ::1',
  '::1\n',
  '00000::',
  '::00001',
  '::1.2.3',
  '::1.2.3.',
  '::1.2.3.4.5',
  '::256.1.1.1',
  '::01.2.3.4',
  '::1.2.3.4:5',
  '1.2.3.4::',
  '1:2:3:4:5:6:7:1.2.3.4',
  '1:2:3:4:5:1.2.3.4',
  '::ffff:1.2.3.4 ',
  '::a.2.3.4',
  '::.2.3.4',
  '1:2:3:4:5:6::7:1.2.3.4',
  '0x1::',
  '1.2.3.4:80',
  '::-1',
];

const spelled: [text: string, canonical: string][] = [
  ['0.0.0.0', '0.0.0.0'],
  ['255.255.255.255', '255.255.255.255'],
  ['10.1.1.27', '10.1.1.27'],
  ['::', '::'],
  ['0:0:0:0:0:0:0:0', '::'],
  ['::1', '::1'],
  ['1::', '1::'],
  ['FD10:0001:1:1::B', 'fd10:1:1:1::b'],
  ['ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
  ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
  ['1:0:0:2:3:0:0:4', '1::2:3:0:0:4'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
  ['::ffff:10.1.1.27', '::ffff:10.1.1.27'],
  ['::ffff:a01:11b', '::ffff:10.1.1.27'],
  ['::1.2.3.4', '::102:304'],
  ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ['::255.255.255.255', '::ffff:ffff'],
];

describe('text of addresses', () => {
  for (const text of malformed) {
    it(`refuses ${JSON.stringify(text)}, and says so`, () => {
      const out = new Uint32Array([1, 2, 3, 4]);
      assert.equal(parseInto(text, out), 0);
      assert.deepEqual([...out], [1, 2, 3, 4]);
      assert.equal(tryParseAddress(text), undefined);
      assert.throws(
        () => parseAddress(text),
        (error: Error & { code?: string }) =>
          error.code === 'address_invalid' && error.message.includes(JSON.stringify(text)),
      );
    });
  }

  for (const [text, canonical] of spelled) {
    it(`reads ${text} and writes ${canonical}`, () => {
      assert.equal(formatAddress(parseAddress(text)), canonical);
    });
  }

  it('reads back what it wrote, and writes what ip-address writes', () => {
    fc.assert(
      fc.property(arbitrary.address, (a) => {
        const text = formatAddress(a);
        assert.deepEqual(parseAddress(text), a);
        assert.equal(isIP(text), a.family);
        if (a.family === 4) assert.equal(text, new Address4(text).correctForm());
        else {
          const other = Address6.fromBigInt(addressToBigInt(a));
          assert.equal(other.bigInt(), new Address6(text).bigInt());
          if (!text.includes('.')) assert.equal(text, other.correctForm());
        }
      }),
      { numRuns: 500 },
    );
  });

  it('accepts exactly what net.isIP accepts, zones aside, and reads the same number as ip-address', () => {
    const part = fc.constantFrom(
      '',
      '0',
      '00',
      '1',
      '9',
      '10',
      '25',
      '255',
      '256',
      'a',
      'ffff',
      '10000',
      ':',
      '::',
      '.',
      ' ',
      '/',
      'g',
    );
    const joint = fc.constantFrom(':', ':', ':', '::', '.', '');
    const soup = fc
      .array(fc.tuple(part, joint), { maxLength: 10 })
      .map((pieces) => pieces.map(([p, j]) => p + j).join(''));
    const group = fc.constantFrom('0', '1', 'ab', 'FFFF', '0001');
    const nearly = fc
      .tuple(
        fc.array(group, { maxLength: 9 }),
        fc.array(group, { maxLength: 9 }),
        fc.constantFrom('', ':1.2.3.4', '1.2.3.4'),
      )
      .map(([left, right, quad]) => `${left.join(':')}::${right.join(':')}${quad}`);
    const full = fc
      .tuple(fc.array(group, { minLength: 5, maxLength: 9 }), fc.constantFrom('', ':1.2.3.4'))
      .map(([groups, quad]) => groups.join(':') + quad);
    const quad = fc
      .array(fc.constantFrom('0', '1', '10', '99', '100', '199', '249', '255', '256', '01', ''), {
        minLength: 3,
        maxLength: 5,
      })
      .map((octets) => octets.join('.'));
    const mutated = fc
      .tuple(arbitrary.address, fc.nat(40), fc.constantFrom('', '0', ':', '.', 'f', ' '))
      .map(([a, at, piece]) => {
        const text = formatAddress(a);
        return text.slice(0, at) + piece + text.slice(at + 1);
      });
    let accepted = 0;
    fc.assert(
      fc.property(fc.oneof(soup, nearly, full, quad, mutated, fc.string({ maxLength: 12 })), (text) => {
        fc.pre(!text.includes('%'));
        const a = tryParseAddress(text);
        assert.equal(a?.family ?? 0, isIP(text), text);
        if (a === undefined) return;
        accepted++;
        if (a.family === 4) assert.equal(BigInt(a.w0), new Address4(text).bigInt());
        else assert.equal(addressToBigInt(a), new Address6(text).bigInt());
      }),
      { numRuns: 4000 },
    );
    assert.ok(accepted > 200, `only ${accepted} texts were addresses`);
  });

  it('keeps an IPv4-mapped address in IPv6', () => {
    assert.equal(parseAddress('::ffff:1.2.3.4').family, 6);
    assert.ok(isIPv6(formatAddress(parseAddress('::ffff:1.2.3.4'))));
    assert.ok(isIPv4(formatAddress(parseAddress('1.2.3.4'))));
  });
});

describe('arithmetic of addresses', () => {
  it('bytes, words and big integers hold the same address', () => {
    fc.assert(
      fc.property(arbitrary.address, (a) => {
        const bytes = addressToBytes(a);
        assert.equal(bytes.length * 8, widthOf(a.family));
        assert.deepEqual(addressFromBytes(bytes), a);
        // A view into a larger buffer, as a packet parser has it.
        const packet = new Uint8Array(40);
        packet.set(bytes, 7);
        assert.deepEqual(addressFromBytes(packet.subarray(7, 7 + bytes.length)), a);
        const words = new Uint32Array(4);
        addressToWords(a, words);
        assert.deepEqual(addressFromWords(a.family, words), a);
        assert.deepEqual(addressFromBigInt(a.family, addressToBigInt(a)), a);
        assert.equal(BigInt(`0x${Buffer.from(bytes).toString('hex')}`), addressToBigInt(a));
      }),
    );
  });

  it('refuses bytes and numbers that are no address', () => {
    for (const n of [0, 3, 5, 15, 17]) {
      assert.throws(() => addressFromBytes(new Uint8Array(n)), { code: 'address_invalid' });
    }
    assert.throws(() => addressFromBigInt(4, 1n << 32n), { code: 'address_invalid' });
    assert.throws(() => addressFromBigInt(6, 1n << 128n), { code: 'address_invalid' });
    assert.throws(() => addressFromBigInt(4, -1n), { code: 'address_invalid' });
    assert.throws(() => addressFromBigInt(6, -1n), { code: 'address_invalid' });
  });

  it('compares by family, then as numbers do', () => {
    fc.assert(
      fc.property(arbitrary.address, arbitrary.address, (a, b) => {
        const x = addressToBigInt(a);
        const y = addressToBigInt(b);
        const wanted = a.family === b.family ? (x < y ? -1 : x > y ? 1 : 0) : a.family - b.family;
        assert.equal(Math.sign(compareAddress(a, b)), Math.sign(wanted));
        assert.equal(equalAddress(a, b), wanted === 0);
        assert.ok(equalAddress(a, { ...a }));
      }),
    );
  });

  it('adds as numbers do, and stops at both ends of the range', () => {
    const step = fc.oneof(
      fc.constantFrom(
        0,
        1,
        -1,
        2 ** 32,
        -(2 ** 32),
        2 ** 32 - 1,
        Number.MAX_SAFE_INTEGER,
        -Number.MAX_SAFE_INTEGER,
      ),
      fc.maxSafeInteger(),
      fc.integer(),
    );
    fc.assert(
      fc.property(arbitrary.address, step, (a, n) => {
        const sum = addressToBigInt(a) + BigInt(n);
        const inside = sum >= 0n && sum >> BigInt(widthOf(a.family)) === 0n;
        assert.deepEqual(addressPlus(a, n), inside ? addressFromBigInt(a.family, sum) : undefined);
      }),
      { numRuns: 500 },
    );
    assert.equal(addressPlus(parseAddress('255.255.255.255'), 1), undefined);
    assert.equal(addressPlus(parseAddress('0.0.0.0'), -1), undefined);
    assert.equal(addressPlus(parseAddress('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'), 1), undefined);
    assert.equal(addressPlus(parseAddress('::'), -1), undefined);
    assert.deepEqual(addressPlus(parseAddress('::ffff:ffff:ffff:ffff'), 1), parseAddress('0:0:0:1::'));
    assert.throws(() => addressPlus(parseAddress('::'), 0.5), RangeError);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import * as arbitrary from '../testing/arbitrary.ts';
import {
  addressFromBigInt,
  addressPlan,
  addressToBigInt,
  andAddress,
  blockCidr,
  containsAddress,
  containsCidr,
  decode,
  decodeInto,
  encode,
  encodeInto,
  encodeShared,
  equalAddress,
  formatAddress,
  formatCidr,
  formatLayout,
  hostCidr,
  type Ids,
  identityOf,
  maxId,
  maxSharedIndex,
  parseAddress,
  parseCidr,
  parseLayout,
  segmentIdentity,
  splitCidr,
  tenantCidr,
  tenantIdentity,
  widthOf,
} from './index.ts';

const v4 = addressPlan(parseCidr('10.0.0.0/8'), parseLayout('8/8/4/4'));
const v6 = addressPlan(parseCidr('fd10::/16'), parseLayout('16/16/16/64'));
const planAndIds = arbitrary.plan.chain((plan) => fc.tuple(fc.constant(plan), arbitrary.idsOf(plan)));
const planAndTwo = arbitrary.plan.chain((plan) =>
  fc.tuple(fc.constant(plan), arbitrary.idsOf(plan), arbitrary.idsOf(plan)),
);

describe('the worked example, to the bit', () => {
  it('IPv4: 10.0.0.0/8 with 8/8/4/4', () => {
    assert.equal(formatCidr(hostCidr(v4, 1)), '10.1.0.0/16');
    assert.equal(formatCidr(tenantCidr(v4, 1, 1)), '10.1.1.0/24');
    assert.equal(formatCidr(tenantCidr(v4, 1, 2)), '10.1.2.0/24');
    assert.equal(formatCidr(blockCidr(v4, 1, 1, 1)), '10.1.1.16/28');
    assert.equal(formatCidr(blockCidr(v4, 2, 1, 1)), '10.2.1.16/28');
    assert.equal(formatAddress(encode(v4, { host: 1, tenant: 1, segment: 1, endpoint: 11 })), '10.1.1.27');
    assert.equal(formatAddress(encode(v4, { host: 2, tenant: 1, segment: 1, endpoint: 11 })), '10.2.1.27');
    assert.equal(formatAddress(v4.identityMask), '255.0.255.240');
    assert.equal(formatAddress(v4.tenantMask), '255.0.255.0');
    assert.equal(formatAddress(tenantIdentity(v4, 1)), '10.0.1.0');
    assert.equal(formatAddress(segmentIdentity(v4, 1, 1)), '10.0.1.16');
    assert.equal(formatAddress(identityOf(v4, parseAddress('10.2.1.27'))), '10.0.1.16');
    assert.deepEqual(decode(v4, parseAddress('10.1.1.27')), { host: 1, tenant: 1, segment: 1, endpoint: 11 });
    // A foreign address must not pass for tenant 1.
    assert.notEqual(formatAddress(identityOf(v4, parseAddress('203.0.1.5'))), '10.0.1.0');
    assert.equal(decode(v4, parseAddress('203.0.1.5')), undefined);
  });

  it('IPv6 twin: fd10::/16 with 16/16/16/64', () => {
    assert.equal(formatCidr(hostCidr(v6, 1)), 'fd10:1::/32');
    assert.equal(formatCidr(tenantCidr(v6, 1, 1)), 'fd10:1:1::/48');
    assert.equal(formatCidr(blockCidr(v6, 1, 1, 1)), 'fd10:1:1:1::/64');
    assert.equal(
      formatAddress(encode(v6, { host: 1, tenant: 1, segment: 1, endpoint: 11 })),
      'fd10:1:1:1::b',
    );
    assert.equal(
      formatAddress(encode(v6, { host: 2, tenant: 1, segment: 1, endpoint: 11 })),
      'fd10:2:1:1::b',
    );
    assert.equal(formatAddress(v6.identityMask), 'ffff:0:ffff:ffff::');
    assert.equal(formatAddress(v6.tenantMask), 'ffff:0:ffff::');
    assert.equal(formatAddress(segmentIdentity(v6, 1, 1)), 'fd10:0:1:1::');
    assert.equal(formatAddress(identityOf(v6, parseAddress('fd10:2:1:1::b'))), 'fd10:0:1:1::');
    assert.deepEqual(decode(v6, parseAddress('fd10:1:1:1::b')), {
      host: 1,
      tenant: 1,
      segment: 1,
      endpoint: 11,
    });
  });
});

describe('layouts', () => {
  it('text reads back; any other form is refused', () => {
    assert.equal(formatLayout(parseLayout('16/16/16/64')), '16/16/16/64');
    for (const text of [
      '',
      '8/8/4',
      '8/8/4/4/8',
      '08/8/4/4',
      '8/8/4/4 ',
      '8/8/-4/4',
      '8/8/4.0/4',
      'a/b/c/d',
      '8,8,4,4',
      '8//4/4',
    ]) {
      assert.throws(() => parseLayout(text), { code: 'layout_invalid' }, text);
    }
  });

  it('must fill the network exactly, each field in its bounds', () => {
    const refused: [cidr: string, layout: string][] = [
      ['10.0.0.0/8', '8/8/4/5'],
      ['10.0.0.0/8', '8/8/4/3'],
      ['10.0.0.0/8', '0/8/8/8'],
      ['10.0.0.0/8', '8/0/8/8'],
      ['10.0.0.0/8', '8/8/8/0'],
      ['10.0.0.0/32', '0/0/0/0'],
      ['10.0.0.0/30', '1/1/1/1'],
      ['fd10::/16', '33/16/15/48'],
      ['fd10::/16', '16/33/15/48'],
      ['fd10::/16', '16/16/33/47'],
      ['fd10::/16', '16/16/16/16'],
      ['fd10::/16', '16/16/16/65'],
    ];
    for (const [cidr, layout] of refused) {
      assert.throws(
        () => addressPlan(parseCidr(cidr), parseLayout(layout)),
        { code: 'layout_invalid' },
        `${cidr} ${layout}`,
      );
    }
    for (const host of [1.5, Number.NaN, -1]) {
      assert.throws(
        () => addressPlan(parseCidr('10.0.0.0/8'), { host, tenant: 8, segment: 4, endpoint: 4 }),
        { code: 'layout_invalid' },
      );
    }
    assert.throws(() => addressPlan(parseCidr('10.0.0.0/8'), parseLayout('8/8/4/5')), {
      message: /24 bits.*exceed it by 1/,
    });
  });

  it('a segment field of no bits takes segment 0 and nothing else', () => {
    const plan = addressPlan(parseCidr('10.0.0.0/8'), parseLayout('8/8/0/8'));
    const a = encode(plan, { host: 1, tenant: 2, segment: 0, endpoint: 3 });
    assert.equal(formatAddress(a), '10.1.2.3');
    assert.deepEqual(decode(plan, a), { host: 1, tenant: 2, segment: 0, endpoint: 3 });
    assert.throws(() => encode(plan, { host: 1, tenant: 2, segment: 1, endpoint: 3 }), {
      code: 'id_out_of_range',
    });
    assert.deepEqual(plan.identityMask, plan.tenantMask);
  });

  it('the highest id is 2^width − 1, but below 2^32', () => {
    assert.deepEqual(
      [0, 1, 8, 31, 32, 33, 64].map(maxId),
      [0, 1, 255, 2147483647, 4294967295, 4294967295, 4294967295],
    );
  });
});

describe('ids in addresses', () => {
  it('decode gives back what encode took (4), in the CIDRs of its ids (5)', () => {
    fc.assert(
      fc.property(planAndIds, ([plan, ids]) => {
        const a = encode(plan, ids);
        assert.deepEqual(decode(plan, a), ids);
        const block = blockCidr(plan, ids.host, ids.tenant, ids.segment);
        const tenant = tenantCidr(plan, ids.host, ids.tenant);
        const host = hostCidr(plan, ids.host);
        assert.ok(containsAddress(block, a) && containsCidr(tenant, block) && containsCidr(host, tenant));
        assert.ok(containsCidr(plan.cidr, host));
        assert.deepEqual(
          [host.length, tenant.length, block.length],
          [plan.hostLength, plan.tenantLength, plan.blockLength],
        );
        // The same by big integers, as the definition of the model reads.
        const { host: h, tenant: t, segment: s, endpoint: e } = plan.layout;
        const value =
          addressToBigInt(plan.cidr.address) +
          (((((BigInt(ids.host) << BigInt(t)) + BigInt(ids.tenant)) << BigInt(s)) + BigInt(ids.segment)) <<
            BigInt(e)) +
          BigInt(ids.endpoint);
        assert.ok(h > 0);
        assert.deepEqual(a, addressFromBigInt(plan.family, value));
      }),
      { numRuns: 500 },
    );
  });

  it('hot path and plain path agree, without leftovers in the buffers', () => {
    const out = new Uint32Array(4).fill(0xdeadbeef);
    const ids = new Uint32Array(4).fill(0xdeadbeef);
    fc.assert(
      fc.property(planAndIds, ([plan, wanted]) => {
        encodeInto(plan, wanted.host, wanted.tenant, wanted.segment, wanted.endpoint, out);
        const a = encode(plan, wanted);
        assert.deepEqual([...out], [a.w0, a.w1, a.w2, a.w3]);
        assert.ok(decodeInto(plan, out, ids));
        assert.deepEqual([...ids], [wanted.host, wanted.tenant, wanted.segment, wanted.endpoint]);
      }),
    );
  });

  it('decode of any address in the network encodes back; outside, or with too wide an endpoint id, it is undefined', () => {
    fc.assert(
      fc.property(arbitrary.plan, arbitrary.address, (plan, any) => {
        const inside = orInto(plan.cidr.address, any);
        for (const a of [any, inside]) {
          const ids = decode(plan, a);
          const endpoint = addressToBigInt(a) & ((1n << BigInt(plan.layout.endpoint)) - 1n);
          const fits = containsAddress(plan.cidr, a) && endpoint < 1n << 32n;
          assert.equal(ids !== undefined, fits);
          if (ids === undefined) continue;
          const out = new Uint32Array(4);
          encodeInto(plan, ids.host, ids.tenant, ids.segment, ids.endpoint, out);
          assert.deepEqual([...out], [a.w0, a.w1, a.w2, a.w3]);
        }

        function orInto(base: typeof any, low: typeof any): typeof any {
          const bits = BigInt(widthOf(plan.family) - plan.cidr.length);
          return addressFromBigInt(
            plan.family,
            addressToBigInt(base) | (addressToBigInt(low) & ((1n << bits) - 1n)),
          );
        }
      }),
      { numRuns: 400 },
    );
  });

  it('no two endpoints have one address (4); one identity for one segment on every host (6)', () => {
    fc.assert(
      fc.property(planAndTwo, ([plan, x, y]) => {
        const a = encode(plan, x);
        const b = encode(plan, y);
        const sameTenant = x.tenant === y.tenant;
        const sameSegment = sameTenant && x.segment === y.segment;
        assert.equal(equalAddress(a, b), sameSegment && x.host === y.host && x.endpoint === y.endpoint);
        assert.equal(equalAddress(identityOf(plan, a), identityOf(plan, b)), sameSegment);
        assert.deepEqual(identityOf(plan, a), segmentIdentity(plan, x.tenant, x.segment));
        assert.deepEqual(andAddress(a, plan.tenantMask), tenantIdentity(plan, x.tenant));
        assert.equal(
          equalAddress(tenantIdentity(plan, x.tenant), tenantIdentity(plan, y.tenant)),
          sameTenant,
        );
      }),
      { numRuns: 400 },
    );
  });

  it('no address outside the network has an identity of it (6)', () => {
    fc.assert(
      fc.property(arbitrary.plan, arbitrary.address, (plan, a) => {
        fc.pre(a.family === plan.family && !containsAddress(plan.cidr, a));
        assert.ok(!containsAddress(plan.cidr, identityOf(plan, a)));
        assert.ok(!containsAddress(plan.cidr, andAddress(a, plan.tenantMask)));
      }),
    );
  });

  it('the address of the other family has no ids', () => {
    assert.equal(decode(v4, parseAddress('a01:11b::')), undefined);
    assert.equal(decode(v6, parseAddress('253.16.0.1')), undefined);
    const all = addressPlan(parseCidr('::/0'), parseLayout('32/32/32/32'));
    assert.equal(decode(all, parseAddress('1.2.3.4')), undefined);
  });

  it('refuses each id that is 0, too large or no integer, and names the field', () => {
    const good: Ids = { host: 1, tenant: 1, segment: 1, endpoint: 1 };
    fc.assert(
      fc.property(
        arbitrary.plan,
        fc.constantFrom<keyof Ids>('host', 'tenant', 'segment', 'endpoint'),
        (plan, name) => {
          const base = { ...good, segment: plan.layout.segment === 0 ? 0 : 1 };
          const over = plan[`${name}Field`].max + 1;
          const zero = name === 'segment' && plan.layout.segment === 0 ? [] : [0];
          for (const id of [...zero, over, -1, 0.5, Number.NaN, 2 ** 32, 2 ** 53]) {
            assert.throws(
              () => encode(plan, { ...base, [name]: id }),
              (error: Error & { code?: string }) =>
                error.code === 'id_out_of_range' && error.message.startsWith(`${name} id`),
            );
          }
          const out = new Uint32Array(4);
          const ids = { ...base, [name]: over };
          assert.throws(() => encodeInto(plan, ids.host, ids.tenant, ids.segment, ids.endpoint, out), {
            code: 'id_out_of_range',
          });
        },
      ),
    );
    assert.throws(() => hostCidr(v4, 256), { code: 'id_out_of_range' });
    assert.throws(() => tenantCidr(v4, 1, 256), { code: 'id_out_of_range' });
    assert.throws(() => blockCidr(v4, 1, 1, 16), { code: 'id_out_of_range' });
    assert.throws(() => tenantIdentity(v6, 65536), { code: 'id_out_of_range' });
    assert.throws(() => segmentIdentity(v6, 1, 65536), { code: 'id_out_of_range' });
  });

  it('first and last ids of both families', () => {
    assert.equal(
      formatAddress(encode(v4, { host: 255, tenant: 255, segment: 15, endpoint: 15 })),
      '10.255.255.255',
    );
    const last = encode(v6, { host: 65535, tenant: 65535, segment: 65535, endpoint: 0xffffffff });
    assert.equal(formatAddress(last), 'fd10:ffff:ffff:ffff::ffff:ffff');
    assert.deepEqual(decode(v6, last)?.endpoint, 0xffffffff);
    assert.equal(decode(v6, parseAddress('fd10:1:1:1:0:1::')), undefined);
    assert.equal(formatCidr(hostCidr(v4, 0)), '10.0.0.0/16');
    const full = addressPlan(parseCidr('::/0'), parseLayout('32/32/32/32'));
    assert.equal(formatAddress(full.identityMask), '::ffff:ffff:ffff:ffff:0:0');
  });

  it('shared identity: tenant 0, segment and endpoint bits as one number', () => {
    assert.equal(maxSharedIndex(v4), 255);
    assert.equal(maxSharedIndex(v6), 0xffffffff);
    assert.equal(formatAddress(encodeShared(v4, 1, 1)), '10.1.0.1');
    assert.equal(formatAddress(encodeShared(v4, 1, 255)), '10.1.0.255');
    assert.equal(formatAddress(encodeShared(v6, 1, 0xffffffff)), 'fd10:1::ffff:ffff');
    assert.deepEqual(decode(v4, encodeShared(v4, 3, 0x21)), { host: 3, tenant: 0, segment: 2, endpoint: 1 });
    for (const index of [0, 256, -1, 1.5])
      assert.throws(() => encodeShared(v4, 1, index), { code: 'id_out_of_range' });
    assert.throws(() => encodeShared(v4, 0, 1), { code: 'id_out_of_range' });
    fc.assert(
      fc.property(arbitrary.plan, fc.nat(), (plan, seed) => {
        const a = encodeShared(plan, plan.hostField.max, 1 + (seed % maxSharedIndex(plan)));
        assert.ok(containsAddress(tenantCidr(plan, plan.hostField.max, 0), a));
      }),
    );
  });

  it('a host id’s range is a power-of-two part of the network, in order', () => {
    for (const id of [1, 2, 254, 255]) assert.deepEqual(hostCidr(v4, id), splitCidr(v4.cidr, 8, id));
  });
});

import assert from 'node:assert/strict';
import { it } from 'node:test';
import * as fc from 'fast-check';
import { exportDevice } from '#core/routing/export/index.ts';
import { cases, showRoute } from '#core/routing/export/samples.ts';
import { planRouting } from '#core/routing/index.ts';
import { build, shapes } from '#core/routing/testing-sites.ts';
import { DeviceRoutingDocument } from './device-routing.ts';

for (const [name, routing] of cases) {
  it(`is a document of the published form: ${routing.device.name}, ${name}`, () => {
    const document: unknown = JSON.parse(exportDevice(routing, 'json', { revision: 7 }));
    const read = DeviceRoutingDocument.strict().parse(document);
    assert.deepEqual(read, document, 'nothing in it that the form does not know');
    assert.equal(read.revision, 7);
    assert.deepEqual(
      read.routes.map(({ prefix, nextHops }) =>
        nextHops.length === 0
          ? `${prefix} drop`
          : `${prefix} via ${nextHops
              .map(({ address }) => address)
              .toSorted()
              .join(' ')}`,
      ),
      routing.routes.map(showRoute),
    );
  });
}

it('is of the published form for the devices of any site', () => {
  let devices = 0;
  fc.assert(
    fc.property(shapes(['l2', 'l3-static', 'bgp', 'direct'], true, 1), (shape) => {
      const plan = planRouting(build(shape));
      for (const name of plan.devices) {
        const document: unknown = JSON.parse(exportDevice(plan.device(name)!, 'json'));
        assert.deepEqual(DeviceRoutingDocument.strict().parse(document), document);
        devices++;
      }
    }),
    { numRuns: 60 },
  );
  assert.ok(devices > 100);
});

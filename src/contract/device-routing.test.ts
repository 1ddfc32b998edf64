import assert from 'node:assert/strict';
import { it } from 'node:test';
import { exportDevice } from '#core/routing/export/index.ts';
import { cases, showRoute } from '#core/routing/export/samples.ts';
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

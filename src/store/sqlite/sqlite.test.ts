import { storeConformance } from '../conformance.ts';
import { testStore } from '../testing.ts';

storeConformance('sqlite', testStore);

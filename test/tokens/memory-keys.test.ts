// The double that the domain's tests use keeps the contract of adapters.
import t from 'tap';
import { MemoryKeys } from '../fakes/memory-keys.ts';
import { testResidentKeys } from '../providers/resident-contract.ts';

testResidentKeys(t, 'keys in memory', async () => ({ keys: new MemoryKeys() }));

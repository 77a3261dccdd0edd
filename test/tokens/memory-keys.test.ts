// The test double of the domain's tests fulfils the contract of adapters.
import t from 'tap';
import { MemoryKeys } from '../fakes/memory-keys.ts';
import { testResidentKeys } from '../providers/resident-contract.ts';

testResidentKeys(t, 'keys in memory', async () => ({ keys: new MemoryKeys() }));

/** Every command of `sidekey`, in the order of its help. */
import { accessExplainCommand } from './commands/access.ts';
import { agentCommand } from './commands/agent.ts';
import { auditTailCommand, auditVerifyCommand } from './commands/audit.ts';
import { cacheListCommand, cacheWipeCommand } from './commands/cache.ts';
import { keysCertCommand, keysCsrCommand } from './commands/certificates.ts';
import type { Command } from './command.ts';
import { decryptCommand, encryptCommand } from './commands/crypt.ts';
import { randomCommand } from './commands/random.ts';
import {
  keysCreateCommand,
  keysDestroyCommand,
  keysExportPublicCommand,
  keysRotateCommand,
} from './commands/keys-lifecycle.ts';
import { macCommand, signCommand, verifyCommand } from './commands/sign.ts';
import { completionCommand } from './commands/completion.ts';
import { configCheckCommand } from './commands/config.ts';
import { datakeyCommand } from './commands/datakey.ts';
import { doctorCommand } from './commands/doctor.ts';
import { eventsCommand } from './commands/events.ts';
import { explainCommand } from './commands/explain.ts';
import { keysImportCommand } from './commands/keys-import.ts';
import { initCommand } from './commands/init.ts';
import { keysListCommand, keysShowCommand } from './commands/keys-list.ts';
import { statusCommand } from './commands/status.ts';
import { topCommand } from './commands/top.ts';
import { usageCommand } from './commands/usage.ts';
import {
  tokenAddKekCommand,
  tokenListCommand,
  tokenRemoveKekCommand,
  tokenRotateCommand,
  tokenRotateKeyCommand,
  tokenWipeCommand,
} from './commands/tokens.ts';

export const COMMANDS: readonly Command[] = [
  initCommand,
  agentCommand,
  configCheckCommand,
  statusCommand,
  encryptCommand,
  decryptCommand,
  signCommand,
  verifyCommand,
  macCommand,
  randomCommand,
  datakeyCommand,
  keysListCommand,
  keysShowCommand,
  keysCreateCommand,
  keysRotateCommand,
  keysDestroyCommand,
  keysImportCommand,
  keysExportPublicCommand,
  keysCsrCommand,
  keysCertCommand,
  cacheListCommand,
  cacheWipeCommand,
  eventsCommand,
  usageCommand,
  topCommand,
  tokenListCommand,
  tokenAddKekCommand,
  tokenRemoveKekCommand,
  tokenRotateCommand,
  tokenRotateKeyCommand,
  tokenWipeCommand,
  accessExplainCommand,
  auditTailCommand,
  auditVerifyCommand,
  doctorCommand,
  explainCommand,
  completionCommand,
];

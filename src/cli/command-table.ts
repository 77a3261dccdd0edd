/** Every command of `sidekey`, in the order of its help. */
import { accessExplainCommand } from './access-command.ts';
import { agentCommand } from './agent-command.ts';
import { auditTailCommand, auditVerifyCommand } from './audit-command.ts';
import { cacheListCommand, cacheWipeCommand } from './cache-commands.ts';
import { keysCertCommand, keysCsrCommand } from './certificate-commands.ts';
import type { Command } from './command.ts';
import { decryptCommand, encryptCommand } from './crypt-commands.ts';
import { randomCommand } from './random-command.ts';
import {
  keysCreateCommand,
  keysDestroyCommand,
  keysExportPublicCommand,
  keysRotateCommand,
} from './key-commands.ts';
import { macCommand, signCommand, verifyCommand } from './sign-commands.ts';
import { completionCommand } from './completion-command.ts';
import { configCheckCommand } from './config-command.ts';
import { datakeyCommand } from './datakey-command.ts';
import { doctorCommand } from './doctor-command.ts';
import { eventsCommand } from './events-command.ts';
import { explainCommand } from './explain-command.ts';
import { keysImportCommand } from './import-command.ts';
import { initCommand } from './init-command.ts';
import { keysListCommand, keysShowCommand } from './keys-command.ts';
import { statusCommand } from './status-command.ts';
import { topCommand } from './top-command.ts';
import { usageCommand } from './usage-command.ts';
import {
  tokenAddKekCommand,
  tokenListCommand,
  tokenRemoveKekCommand,
  tokenRotateCommand,
  tokenRotateKeyCommand,
  tokenWipeCommand,
} from './token-commands.ts';

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

#!/usr/bin/env node
import 'reflect-metadata';
import { createProgram } from './cli/program';
import { ConfigError } from './config';
import { CannotStart, HubError } from './errors';

createProgram()
  .parseAsync(process.argv)
  .catch((error: unknown) => {
    process.stderr.write(`livehook: ${reasonOf(error)}\n`);
    process.exit(1); // a hub that could not start, its port being taken, has connections and timers that would hold the process
  });

/** A sentence for what the surroundings are to blame for; a stack for what we are. */
function reasonOf(error: unknown): string {
  if (error instanceof ConfigError || error instanceof CannotStart) return error.message;
  if (error instanceof HubError) return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
  const { code, message, stack } = error as NodeJS.ErrnoException;
  return typeof code === 'string' ? message : (stack ?? String(error));
}

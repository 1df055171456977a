#!/usr/bin/env node
import 'reflect-metadata';
import { CommanderError } from 'commander';
import { createProgram } from './cli/program';
import { WrongUsage } from './cli/remote/hub-access';
import { LivehookError } from './client';
import { ConfigError } from './config';
import { CannotStart, HubError } from './errors';

const WRONG_USAGE = 2;

createProgram()
  .parseAsync(process.argv)
  .catch((error: unknown) => {
    if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : WRONG_USAGE); // it has said why
    process.stderr.write(`livehook: ${reasonOf(error)}\n`);
    process.exit(error instanceof WrongUsage ? WRONG_USAGE : 1); // a hub that could not start, its port being taken, has connections and timers that would hold the process
  });

/** A sentence for what the surroundings are to blame for; a stack for what we are. */
function reasonOf(error: unknown): string {
  const isKnown = [ConfigError, CannotStart, WrongUsage, LivehookError].some((known) => error instanceof known);
  if (isKnown) return (error as Error).message;
  if (error instanceof HubError) return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
  const { code, message, stack } = error as NodeJS.ErrnoException;
  return typeof code === 'string' ? message : (stack ?? String(error));
}

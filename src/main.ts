#!/usr/bin/env node
import 'reflect-metadata';
import { createProgram } from './cli/program';
import { ConfigError } from './config';

createProgram()
  .parseAsync(process.argv)
  .catch((error: unknown) => {
    const isExpected = error instanceof ConfigError;
    process.stderr.write(`livehook: ${isExpected ? error.message : ((error as Error).stack ?? String(error))}\n`);
    process.exitCode = 1;
  });

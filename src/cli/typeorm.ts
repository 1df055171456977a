import 'reflect-metadata';
import { DataSource } from 'typeorm';
import { readConfig } from '../config';
import { dataSourceOptions } from '../data-source';

/** The database for TypeORM's own command line, which finds it through `ormconfig.ts`. */
export const dataSource = new DataSource(dataSourceOptions(readConfig(process.env).databaseUrl, 'writer'));

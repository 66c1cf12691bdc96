// A place of its own for a test file in the servers that all of them share.
import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import pg from "pg";

/** @typedef {{ readonly url: string, drop(): Promise<void> } & AsyncDisposable} FreshDatabase */
/** @typedef {{ readonly url: string, readonly prefix: string, drop(): Promise<void> } & AsyncDisposable} FreshKeys */

/**
 * An empty database in a PostgreSQL.
 *
 * @param {string} databaseUrl - A database of that server, by a user who may create others.
 * @returns {Promise<FreshDatabase>} `drop()` removes it, whoever is still connected.
 */
export async function freshDatabase(databaseUrl) {
  const name = `test_${randomBytes(8).toString("hex")}`;
  await query(databaseUrl, `create database ${name} template template0`);
  const url = new URL(databaseUrl);
  url.pathname = `/${name}`;
  const drop = () => query(databaseUrl, `drop database if exists ${name} with (force)`);
  return { url: url.href, drop, [Symbol.asyncDispose]: drop };
}

/**
 * A prefix for keys that nobody else uses in a Redis.
 *
 * @param {string} redisUrl
 * @returns {FreshKeys} `drop()` removes every key that begins with it.
 */
export function freshKeys(redisUrl) {
  const prefix = `test:${randomBytes(8).toString("hex")}:`;
  const drop = () => removeKeys(redisUrl, prefix);
  return { url: redisUrl, prefix, drop, [Symbol.asyncDispose]: drop };
}

/**
 * @param {string} url
 * @param {string} sql
 */
async function query(url, sql) {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

/**
 * @param {string} redisUrl
 * @param {string} prefix
 */
async function removeKeys(redisUrl, prefix) {
  const client = new Redis(redisUrl, { maxRetriesPerRequest: 1 });
  try {
    for await (const keys of client.scanStream({ match: `*${prefix}*`, count: 1_000 }))
      if (keys.length > 0) await client.unlink(...keys);
  } finally {
    client.disconnect();
  }
}

// Where PostgreSQL's programs are on this machine.
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { embeddedPostgres } from "./embedded-postgres.mjs";
import { which } from "./which.mjs";

/** Debian keeps them off the PATH. */
const DEBIAN = "/usr/lib/postgresql";

/** Folder that holds `initdb` and `postgres`: the system's, else those npm brought. @returns {string | undefined} */
export function findPostgres() {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = versions.map((version) => join(DEBIAN, version, "bin"));
  const initdb = which(["initdb"], folders);
  return initdb === undefined ? embeddedPostgres() : dirname(initdb);
}

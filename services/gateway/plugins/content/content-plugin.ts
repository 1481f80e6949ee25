/**
 * Content of outbound mail: whether it says or holds something of a list that must not leave.
 *
 * Results  the name of the first list that fits; clear; skipped, where the text was too long to be read whole and
 *          nothing was found in what was.
 */
import type { Static } from 'typebox'
import type { ContentSettings } from '../../../kit/plugin-settings.ts'
import { skippedResult } from '../../../rules/check-names.ts'
import type { Plugin } from '../plugin.ts'
import { ContentLists } from './content-lists.ts'
import { ContentReader } from './read-content.ts'

const octetsPerTurn = 256 * 1024

export function contentPlugin(settings: Static<typeof ContentSettings>): Plugin {
  const lists = new ContentLists(settings.lists)
  return {
    kind: 'content',
    settings,
    version: async () => settings.lists.map(({ name }) => name).join(', '),
    async scan(message, signal) {
      const reader = new ContentReader(settings.textBytes)
      for await (const chunk of message.octets()) {
        for (let at = 0; at < chunk.length; at += octetsPerTurn) {
          const piece = chunk.subarray(at, at + octetsPerTurn)
          reader.write(Buffer.from(piece.buffer, piece.byteOffset, piece.length))
          await new Promise((resolve) => setImmediate(resolve))
          signal.throwIfAborted()
        }
      }
      const content = reader.end()
      const hits = await lists.hits(content, signal)
      if (hits.length > 0) return { result: hits[0]!.list, detail: hits.map(({ list, what }) => `${list}: ${what}`).join('; ') }
      if (content.isTextCut) return { result: skippedResult, detail: `nothing in the first ${settings.textBytes} octets of text` }
      return { result: 'clear', detail: null }
    },
  }
}

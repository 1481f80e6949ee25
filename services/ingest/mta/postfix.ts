/** Postfix's log, from syslog files or its own `maillog_file`. */
import type { MtaAdapter } from './assembler.ts'
import type { MtaEvents } from './mta-event.ts'
import { readPostfixLine } from './postfix-line.ts'
import { PostfixMessage } from './postfix-message.ts'
import { PostfixSession } from './postfix-session.ts'
import { Reinjection } from './reinjection.ts'
import { syslogFrame } from './syslog-frame.ts'

export function postfixAdapter(events: MtaEvents): MtaAdapter {
  const reinjection = new Reinjection()
  return {
    source: 'postfix',
    frame: syslogFrame,
    read: readPostfixLine,
    openThread: (line, links) => (line.session === line.key ? new PostfixSession(line, events, links) : new PostfixMessage(line, events, reinjection)),
  }
}

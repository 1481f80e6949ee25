/**
 * A whole gateway in a process of its own, for tests that kill it.
 *
 * Usage  forked as gateway-child.js CONFIG-FILE; says `{ address }` when it listens, stops when told `stop`.
 */
import { startGateway } from '../../services/gateway/main.ts'
import { openOperatorLog } from '../../services/kit/operator-log.ts'
import { readConfig } from '../../services/kit/read-config.ts'

const reading = readConfig(process.argv[2]!, {})
if ('faults' in reading) throw new Error(JSON.stringify(reading.faults))
const gateway = await startGateway({
  config: reading.config,
  log: openOperatorLog('gateway child', { level: 'error' }),
})
process.send!({ address: gateway.addresses[0] })
process.on('message', () => void gateway.stop().then(() => process.exit(0)))
process.on('disconnect', () => process.exit(0))

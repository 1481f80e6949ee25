/**
 * The gateway on this machine, asked by its control socket in the data folder.
 *
 * Limits  a gateway on another machine is not reached yet: its node is not known here, and answered as such.
 * Fails   ApiFault where no gateway answers, and for what it refuses.
 */
import type { IncomingMessage } from 'node:http'
import { controlPrefix, type ControlError, type GatewayFigures } from '../contracts/control.ts'
import { askSocket, gatewaySocketPath, openSocketAnswer, SocketUnanswered, type SocketQuestion } from '../kit/socket-request.ts'
import { ApiFault } from './api-fault.ts'

export class GatewayConnection {
  readonly #socketPath: string

  constructor(dataFolder: string) {
    this.#socketPath = gatewaySocketPath(dataFolder)
  }

  /** `null` where none runs. */
  async figures(): Promise<GatewayFigures | null> {
    try {
      return (await this.#ask({ method: 'GET', path: '/figures' })) as GatewayFigures
    } catch (error) {
      if (error instanceof ApiFault && error.code === 'gateway-unavailable') return null
      throw error
    }
  }

  async ask<Answer>(node: string, question: SocketQuestion): Promise<Answer> {
    await this.#expectNode(node)
    return (await this.#ask(question)) as Answer
  }

  /** An answer that is passed on as it comes. */
  async open(node: string, question: SocketQuestion): Promise<IncomingMessage> {
    await this.#expectNode(node)
    const answer = await this.#reached(() => openSocketAnswer(this.#socketPath, prefixed(question)))
    if (answer.statusCode === 200) return answer
    answer.destroy()
    throw new ApiFault('not-found', 'This message is not in quarantine')
  }

  async #expectNode(node: string): Promise<void> {
    const figures = (await this.#ask({ method: 'GET', path: '/figures' })) as GatewayFigures
    if (figures.node !== node) throw new ApiFault('not-found', `The gateway of this machine is ${figures.node}: others cannot be reached from here`)
  }

  async #ask(question: SocketQuestion): Promise<unknown> {
    const { status, body } = await this.#reached(() => askSocket(this.#socketPath, prefixed(question)))
    if (status === 200) return body
    const { code, message } = (body as ControlError).error
    if (code === 'too-large') throw new ApiFault('bad-request', message)
    if (code === 'not-found' || code === 'bad-request') throw new ApiFault(code, message)
    throw new ApiFault(code === 'busy' ? 'gateway-busy' : 'gateway-unavailable', message)
  }

  async #reached<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    try {
      return await ask()
    } catch (error) {
      if (error instanceof SocketUnanswered) throw new ApiFault('gateway-unavailable', 'No gateway runs on the data folder of this server')
      throw error
    }
  }
}

function prefixed(question: SocketQuestion): SocketQuestion {
  return { ...question, path: `${controlPrefix}${question.path}` }
}

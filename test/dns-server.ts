/**
 * A name server for tests, over UDP and TCP on a loopback port: zones that a test writes, and mishaps it asks for.
 *
 * Why  questions of a test never leave the machine: what is not in the zones does not exist.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import packet, { type Answer, type DecodedPacket } from 'dns-packet'

type Kind = 'A' | 'AAAA' | 'MX' | 'PTR' | 'TXT' | 'CNAME'
/** `MX`: `10 mail.example`. `TXT`: split into strings of 255 octets. */
export type Zones = Record<string, Partial<Record<Kind, readonly string[]>>>
export type Mishap = 'servfail' | 'refused' | 'silent' | 'truncated' | 'garbage'

const codes = { servfail: 2, refused: 5 } as const
const nxdomain = 3

export class DnsServer {
  /** Names in lower case. */
  zones: Zones = {}
  ttlSeconds = 3_600
  delayMs = 0
  /** By name; `*` for every one. */
  readonly mishaps = new Map<string, Mishap>()
  /** `A name`, in order, UDP and TCP alike. */
  readonly questions: string[] = []
  tcpCount = 0
  readonly #udp: UdpSocket
  readonly #tcp: Server
  readonly #sockets = new Set<Socket>()
  readonly #timers = new Set<NodeJS.Timeout>()

  private constructor(udp: UdpSocket, tcp: Server) {
    this.#udp = udp
    this.#tcp = tcp
    udp.on('message', (octets, { port, address }) => {
      this.#reply(octets, false, (answer) => this.#udp.send(answer, port, address))
    })
    tcp.on('connection', (socket) => this.#serve(socket))
  }

  static async start(): Promise<DnsServer> {
    for (;;) {
      const tcp = createServer()
      await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve))
      const udp = createSocket('udp4')
      try {
        await new Promise<void>((resolve, reject) => {
          udp.once('error', reject)
          udp.bind((tcp.address() as AddressInfo).port, '127.0.0.1', resolve)
        })
        return new DnsServer(udp, tcp)
      } catch {
        // The UDP port of this number is somebody else's.
        tcp.close()
      }
    }
  }

  get address(): string {
    return `127.0.0.1:${(this.#tcp.address() as AddressInfo).port}`
  }

  count(question: string): number {
    return this.questions.filter((asked) => asked === question).length
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => this.#tcp.close(() => resolve()))
    await new Promise<void>((resolve) => this.#udp.close(resolve))
  }

  #serve(socket: Socket): void {
    let input = Buffer.alloc(0)
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('data', (chunk) => {
      input = Buffer.concat([input, chunk])
      while (input.length >= 2 && input.length >= 2 + input.readUInt16BE(0)) {
        const end = 2 + input.readUInt16BE(0)
        const question = input.subarray(2, end)
        input = input.subarray(end)
        this.tcpCount += 1
        this.#reply(question, true, (answer) => {
          const length = Buffer.alloc(2)
          length.writeUInt16BE(answer.length)
          socket.write(Buffer.concat([length, answer]))
        })
      }
    })
  }

  #reply(octets: Buffer, isTcp: boolean, send: (answer: Buffer) => void): void {
    const query = packet.decode(octets)
    const question = query.questions?.[0]
    if (question === undefined) return
    const name = question.name.toLowerCase()
    this.questions.push(`${question.type} ${name}`)
    const mishap = this.mishaps.get(name) ?? this.mishaps.get('*')
    if (mishap === 'silent') return
    const answer =
      mishap === 'garbage' ? Buffer.from('nonsense') : this.#answer(query, name, question.type, mishap, isTcp)
    if (this.delayMs === 0) return send(answer)
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      send(answer)
    }, this.delayMs)
    this.#timers.add(timer)
  }

  #answer(query: DecodedPacket, name: string, kind: string, mishap: Mishap | undefined, isTcp: boolean): Buffer {
    const zone = this.zones[name]
    const answers = recordsOf(this.zones, name, kind, this.ttlSeconds)
    const code = mishap === 'servfail' || mishap === 'refused' ? codes[mishap] : zone === undefined ? nxdomain : 0
    const whole = encode(query, code, code === 0 ? answers : [], false)
    const isTooLong = !isTcp && (mishap === 'truncated' || whole.length > 1_232)
    return isTooLong ? encode(query, code, [], true) : whole
  }
}

function encode(query: DecodedPacket, code: number, answers: Answer[], isTruncated: boolean): Buffer {
  const flags =
    packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE | (isTruncated ? packet.TRUNCATED_RESPONSE : 0) | code
  return packet.encode({
    type: 'response',
    ...(query.id === undefined ? {} : { id: query.id }),
    flags,
    questions: query.questions ?? [],
    answers,
  })
}

/** As a recursive server answers: an alias with all that it leads to. */
function recordsOf(zones: Zones, name: string, kind: string, ttl: number, depth = 0): Answer[] {
  const zone = zones[name]
  const alias = zone?.CNAME?.[0]
  if (alias !== undefined && kind !== 'CNAME') {
    const rest = depth < 8 ? recordsOf(zones, alias, kind, ttl, depth + 1) : []
    return [{ type: 'CNAME', name, ttl, data: alias }, ...rest]
  }
  return (zone?.[kind as Kind] ?? []).map((text): Answer => {
    if (kind === 'MX') {
      const [preference = '0', exchange = ''] = text.split(' ')
      return { type: 'MX', name, ttl, data: { preference: Number(preference), exchange } }
    }
    if (kind === 'TXT') return { type: 'TXT', name, ttl, data: text.match(/.{1,255}/gs) ?? [''] }
    return { type: kind as 'A' | 'AAAA' | 'PTR' | 'CNAME', name, ttl, data: text }
  })
}

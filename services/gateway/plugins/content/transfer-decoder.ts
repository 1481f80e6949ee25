/** Undoes the transfer encoding of a part as it streams by (RFC 2045 §6). What is no encoding is left as it is. */
export interface TransferDecoder {
  write(octets: Buffer): Buffer
  end(): Buffer
}

const nothing = Buffer.alloc(0)

export function transferDecoder(encoding: string): TransferDecoder {
  if (encoding === 'base64') return new Base64Decoder()
  if (encoding === 'quoted-printable') return new QuotedPrintableDecoder()
  return { write: (octets) => octets, end: () => nothing }
}

class Base64Decoder implements TransferDecoder {
  #rest = ''

  write(octets: Buffer): Buffer {
    const text = this.#rest + octets.toString('latin1').replace(/[^A-Za-z0-9+/]/g, '')
    const whole = text.length - (text.length % 4)
    this.#rest = text.slice(whole)
    return Buffer.from(text.slice(0, whole), 'base64')
  }

  end(): Buffer {
    return Buffer.from(this.#rest, 'base64')
  }
}

class QuotedPrintableDecoder implements TransferDecoder {
  #rest = ''

  write(octets: Buffer): Buffer {
    const text = this.#rest + octets.toString('latin1')
    const last = text.lastIndexOf('=')
    const whole = last >= 0 && last >= text.length - 2 ? last : text.length
    this.#rest = text.slice(whole)
    return decoded(text.slice(0, whole))
  }

  end(): Buffer {
    return decoded(this.#rest)
  }
}

function decoded(text: string): Buffer {
  const plain = text.replace(/=(?:\r?\n|([0-9A-Fa-f]{2}))/g, (_whole, code: string | undefined) =>
    code === undefined ? '' : String.fromCharCode(Number.parseInt(code, 16)),
  )
  return Buffer.from(plain, 'latin1')
}

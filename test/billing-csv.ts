/** RFC 4180 read strictly, for tests of exports: CRLF between records, doubled quotes, and nothing else forgiven. */
export function parseCsv(text: string, delimiter = ','): string[][] {
  const records: string[][] = []
  let position = 0
  while (position < text.length) {
    const record: string[] = []
    for (;;) {
      record.push(readField())
      if (text[position] !== delimiter) break
      position += 1
    }
    if (text.slice(position, position + 2) !== '\r\n') throw new Error(`no CRLF at ${position}`)
    position += 2
    records.push(record)
  }
  return records

  function readField(): string {
    if (text[position] !== '"') {
      const from = position
      while (position < text.length && !`${delimiter}\r\n"`.includes(text[position]!)) position += 1
      return text.slice(from, position)
    }
    let value = ''
    for (;;) {
      const end = text.indexOf('"', position + 1)
      if (end < 0) throw new Error(`an open quote at ${position}`)
      value += text.slice(position + 1, end)
      position = end + 1
      if (text[position] !== '"') return value
      value += '"'
    }
  }
}

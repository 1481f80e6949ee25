/** The cells of an XLSX workbook, read from its XML and by no library that wrote it, for tests of exports. */
import { inflateRawSync } from 'node:zlib'

/** A number as its digits stand in the file. */
export type XlsxCell = string | { number: string } | null

/** Rows of all sheets in order, headers included. */
export function xlsxRows(workbook: Buffer): XlsxCell[][] {
  const parts = zipParts(workbook)
  const sheets = [...parts.keys()].filter((name) => name.startsWith('xl/worksheets/')).sort()
  return sheets.flatMap((sheet) => sheetRows(parts.get(sheet)!.toString()))
}

function sheetRows(xml: string): XlsxCell[][] {
  return [...xml.matchAll(/<row [^>]*?(?:\/>|>(.*?)<\/row>)/gs)].map(([, cells = '']) => {
    const row: XlsxCell[] = []
    for (const [, reference, attributes, content = ''] of cells.matchAll(
      /<c r="([A-Z]+)\d+"([^>]*?)(?:\/>|>(.*?)<\/c>)/gs,
    )) {
      const place = [...reference!].reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 64, 0) - 1
      while (row.length < place) row.push(null)
      const text = /<t[^>]*?>(.*?)<\/t>/s.exec(content)
      const number = /<v>(.*?)<\/v>/s.exec(content)
      if (attributes!.includes('t="inlineStr"')) row.push(text === null ? '' : plainText(text[1]!))
      else row.push(number === null ? null : { number: number[1]! })
    }
    return row
  })
}

/** XML turns a raw CR into LF when it is read, and so does this. */
function plainText(xml: string): string {
  const named: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
  return xml
    .replace(/\r\n?/g, '\n')
    .replace(/&(\w+);/g, (_, name: string) => named[name]!)
    .replace(/_x([0-9a-f]{4})_/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
}

function zipParts(zip: Buffer): Map<string, Buffer> {
  const parts = new Map<string, Buffer>()
  const end = zip.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'))
  let at = zip.readUInt32LE(end + 16)
  for (let entry = 0; entry < zip.readUInt16LE(end + 10); entry += 1) {
    const method = zip.readUInt16LE(at + 10)
    const size = zip.readUInt32LE(at + 20)
    const nameLength = zip.readUInt16LE(at + 28)
    const local = zip.readUInt32LE(at + 42)
    const from = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28)
    const octets = zip.subarray(from, from + size)
    parts.set(zip.toString('utf8', at + 46, at + 46 + nameLength), method === 0 ? octets : inflateRawSync(octets))
    at += 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32)
  }
  return parts
}

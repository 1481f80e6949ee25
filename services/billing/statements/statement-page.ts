/**
 * A statement as a page for reading and printing, PDF included: HTML by itself, without script, its style within.
 *
 * Why  every text is escaped: names of clients and tariffs come from people. `statementPageCsp` names the style by its
 *      hash, so that the page may be served under a policy that runs nothing.
 */
import { createHash } from 'node:crypto'
import type { Statement, StatementLine } from '../../contracts/statement.ts'
import { unitNameOf } from '../../contracts/byte-unit.ts'
import { decimalText, parseFraction } from '../rating/fraction.ts'
import { quantityText } from './statement-table.ts'

const style = `
@page { size: A4; margin: 18mm }
body { font: 14px/1.45 system-ui, sans-serif; color: #1b1f24; background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 0 .25rem } p { margin: .15rem 0 } .muted { color: #57606a }
table { border-collapse: collapse; width: 100%; margin: 1.25rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .35rem .5rem; text-align: left; border-bottom: 1px solid #d0d7de; vertical-align: top }
th { font-weight: 600 } .figure { text-align: right; white-space: nowrap } tfoot td { border: 0 } tfoot tr:last-child td { font-weight: 700 }
thead { display: table-header-group } tr { break-inside: avoid } code { font-size: .8rem; overflow-wrap: anywhere }
@media print { body { margin: 0; max-width: none; font-size: 11px } }
`

export const statementPageCsp = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; frame-ancestors 'none'; base-uri 'none'`

export function statementPage(statement: Statement): string {
  const { statementId, period, clientId, clientName, currency, from, upto, timeZone, unitBytes, lines, taxes, usage, net, tax, total, hash } = statement
  const unit = unitNameOf(unitBytes)
  const hasOwnTaxOnly = taxes.length === 1 && lines.every(({ kind }) => kind === 'usage')
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(`Statement ${statementId}`)}</title><style>${style}</style></head><body>
<h1>Statement ${escaped(statementId)}</h1>
<p>${escaped(clientName ?? clientId)} <span class="muted">(${escaped(clientId)})</span></p>
<p>${escaped(period)} <span class="muted">(from ${minute(from)} up to, not including, ${minute(upto)} UTC; time zone ${escaped(timeZone)})</span></p>
<p class="muted">1 ${unit} = ${unitBytes.toLocaleString('en')} octets. Amounts in ${escaped(currency)}.</p>
<table><thead><tr><th>#</th><th>What</th><th class="figure">Quantity</th><th class="figure">Price</th><th class="figure">Net</th><th class="figure">Tax</th></tr></thead>
<tbody>
${lines.map((line) => lineRow(statement, line, unit)).join('\n')}
</tbody><tfoot>
<tr><td></td><td>Net</td><td></td><td></td><td class="figure">${net}</td><td></td></tr>
${taxes.map((one) => `<tr><td></td><td>Tax ${escaped(one.percent)} % on ${one.net}</td><td></td><td></td><td></td><td class="figure">${one.tax}</td></tr>`).join('\n')}
${hasOwnTaxOnly ? '' : `<tr><td></td><td>Tax, that of earlier months included</td><td></td><td></td><td></td><td class="figure">${tax}</td></tr>`}
<tr><td></td><td>Total ${escaped(currency)}</td><td></td><td></td><td class="figure">${total}</td><td></td></tr>
</tfoot></table>
<table><thead><tr><th>Department</th><th>Direction</th><th class="figure">Octets</th></tr></thead><tbody>
${usage.map((one) => `<tr><td>${escaped(one.clientId)}</td><td>${escaped(one.direction)}</td><td class="figure">${grouped(one.octets)}</td></tr>`).join('\n')}
</tbody></table>
${statement.hasQueueSizes ? '<p>Some sizes are those of another mail server\'s queue, which adds headers of its own.</p>' : ''}
<p class="muted">Hash of this statement: <code>${escaped(hash)}</code></p>
</body></html>
`
}

function lineRow(statement: Statement, line: StatementLine, unit: string): string {
  const quantity = quantityText(statement, line)
  const cells = [
    `<td>${line.line}</td>`,
    `<td>${escaped(textOf(line))}</td>`,
    `<td class="figure">${quantity === null ? '' : `${quantity} ${unit}`}</td>`,
    `<td class="figure">${line.price === null ? '' : escaped(line.price)}</td>`,
    `<td class="figure">${line.amount}</td>`,
    `<td class="figure">${line.tax}${line.taxPercent === null ? '' : ` <span class="muted">(${escaped(line.taxPercent)} %)</span>`}</td>`,
  ]
  return `<tr>${cells.join('')}</tr>`
}

function textOf({ kind, ofPeriod, tariffId, tariffVersion, componentKind, direction, tier, count }: StatementLine): string {
  if (kind === 'reversal') return `${ofPeriod}, as it was stated before`
  if (kind === 'replacement') return `${ofPeriod}, after what came late or was corrected`
  const named = { flat: 'Flat fee', 'per-unit': 'Per unit', graduated: 'Graduated', volume: 'By volume', package: 'Packages', minimum: 'Up to the minimum' }
  const what = named[componentKind as keyof typeof named] ?? componentKind
  const parts = [
    `${what}${tier === null ? '' : `, tier ${tier + 1}`}`,
    direction === null ? null : direction === 'both' ? 'in and out' : direction,
    componentKind === 'package' && count !== null ? `${decimalText(parseFraction(count), 6)} started` : null,
    `tariff ${tariffId}, version ${tariffVersion}`,
  ]
  return parts.filter((part) => part !== null).join(', ')
}

/** `1,234,567`. */
function grouped(figure: string): string {
  return figure.replace(/\B(?=(\d{3})+$)/g, ',')
}

/** `2026-10-01 00:00`. */
function minute(iso: string): string {
  return escaped(iso.slice(0, 16).replace('T', ' '))
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;').replaceAll("'", '&#39;')
}

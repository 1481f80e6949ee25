/**
 * The country of an address, out of a database in MaxMind format on this machine: nobody is asked.
 *
 * Fails  a database that is not there or broken gives no countries, and the operator is told once.
 * Why    read when the first rule asks: a gateway without such rules holds no 8 MB of it.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Reader, type Response } from 'maxmind'

const installed = '@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb'

/** Both shapes that such databases have. */
type CountryRecord = Response & { country_code?: string; country?: { iso_code?: string } }

/** `file` null: the one that is installed with Tollgate. Two capital letters, or `null`. */
export function countriesOf(file: string | null, warn: (text: string) => void): (ip: string) => string | null {
  let reader: Reader<CountryRecord> | null = null
  let isBroken = false
  return (ip) => {
    if (isBroken) return null
    try {
      reader ??= new Reader<CountryRecord>(readFileSync(file ?? createRequire(import.meta.url).resolve(installed)))
      const record = reader.get(ip)
      const code = record?.country_code ?? record?.country?.iso_code
      return code !== undefined && /^[A-Z]{2}$/.test(code) && code !== 'ZZ' ? code : null
    } catch (error) {
      isBroken = true
      warn(
        `The country database ${file ?? installed} cannot be read (${(error as Error).message}): ` +
          'countries are unknown; check the setting checks.countryFile',
      )
      return null
    }
  }
}

/**
 * One page of messages by id, newest first, out of any number in any order.
 *
 * Why  ids sort by time, so that an id is all a cursor needs; only the page is kept and sorted, since the gateway must
 *      not stop answering SMTP to list a hundred thousand messages.
 */
export function newestPage<Item>(
  items: Iterable<Item>,
  idOf: (item: Item) => string,
  { limit, cursor, isWanted }: { limit: number; cursor: string | undefined; isWanted: (item: Item) => boolean },
): { items: Item[]; nextCursor: string | null } {
  const page: { id: string; item: Item }[] = []
  for (const item of items) {
    const id = idOf(item)
    if (cursor !== undefined && id >= cursor) continue
    if (page.length > limit && id <= page.at(-1)!.id) continue
    if (!isWanted(item)) continue
    let from = 0
    let upto = page.length
    while (from < upto) {
      const middle = (from + upto) >> 1
      if (page[middle]!.id > id) from = middle + 1
      else upto = middle
    }
    page.splice(from, 0, { id, item })
    if (page.length > limit + 1) page.pop()
  }
  const hasMore = page.length > limit
  const shown = hasMore ? page.slice(0, limit) : page
  return { items: shown.map(({ item }) => item), nextCursor: hasMore ? shown.at(-1)!.id : null }
}

/**
 * The built web application: files with a hash in their name are kept for ever, the page itself is asked for anew.
 *
 * Why   every path that is no file gives the page: the application reads the path itself (links, reload).
 */
import fastifyStatic from '@fastify/static'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { ApiFault } from '../api-fault.ts'
import type { ApiServer } from '../api-server.ts'
import { sendFault } from '../error-replies.ts'

export async function addWebRoutes(server: ApiServer, webFolder: string): Promise<void> {
  await server.register(fastifyStatic, {
    root: webFolder,
    serve: false,
    cacheControl: false,
    suppressWarning: true,
  } as never)
  server.get<{ Params: { '*': string } }>(
    '/*',
    { config: { roles: 'public' }, schema: { hide: true } },
    async (request, reply) => {
      const wanted = request.params['*']
      if (wanted === 'api' || wanted.startsWith('api/')) {
        return sendFault(
          reply,
          new ApiFault(
            'not-found',
            `There is no ${request.method} /${wanted}; /api/v1/openapi.json lists what there is`,
          ),
        )
      }
      if (!existsSync(path.join(webFolder, 'index.html'))) {
        return await reply
          .code(503)
          .type('text/plain; charset=utf-8')
          .send(
            'The web interface is not built yet: run "npm run build:web" where Tollgate is installed, then reload.\n',
          )
      }
      if (isFile(webFolder, wanted)) {
        const isHashed = wanted.startsWith('assets/')
        reply.header('cache-control', isHashed ? 'public, max-age=31536000, immutable' : 'no-cache')
        return await reply.sendFile(wanted)
      }
      // A missing script must not be answered with the page.
      if (path.extname(wanted) !== '')
        return sendFault(reply, new ApiFault('not-found', `There is no file /${wanted}`))
      return await reply.header('cache-control', 'no-cache').sendFile('index.html')
    },
  )
  server.setNotFoundHandler((request, reply) => {
    sendFault(reply, new ApiFault('not-found', `There is no ${request.method} ${request.url.split('?')[0]}`))
  })
}

/** Whether the path names a file inside the folder. */
function isFile(webFolder: string, wanted: string): boolean {
  const file = path.resolve(webFolder, wanted)
  return (
    wanted !== '' &&
    !wanted.endsWith('/') &&
    file.startsWith(webFolder + path.sep) &&
    path.extname(file) !== '' &&
    existsSync(file)
  )
}

/**
 * Builds the UI into dist/web, from where services/api serves it.
 *
 * Why  the strict content security policy (no inline script, no eval, no data: URLs for code) decides the options:
 *      no inlined assets, no module-preload polyfill, message compiler without eval.
 */
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'

const apiUrl = process.env.TOLLGATE_API_URL ?? 'http://127.0.0.1:8080'

export default defineConfig({
  plugins: [vue()],
  define: {
    __VUE_OPTIONS_API__: false,
    __VUE_PROD_DEVTOOLS__: false,
    __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: false,
    __VUE_I18N_FULL_INSTALL__: false,
    __VUE_I18N_LEGACY_API__: false,
    __INTLIFY_PROD_DEVTOOLS__: false,
    __INTLIFY_DROP_MESSAGE_COMPILER__: false,
  },
  build: {
    outDir: '../dist/web',
    emptyOutDir: true,
    target: 'es2022',
    /** The first browsers with light-dark(). */
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { '/api': apiUrl, '/healthz': apiUrl } },
})

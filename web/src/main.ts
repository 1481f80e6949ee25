import { VueQueryPlugin } from '@tanstack/vue-query'
import { createApp } from 'vue'
import { createQueryClient } from './api/queries.ts'
import AppRoot from './frame/AppRoot.vue'
import { applyTheme, storedTheme } from './frame/theme.ts'
import { createLocale, storedLanguage } from './locale/create-locale.ts'
import { createPages } from './pages.ts'
import './style/tokens.css'
import './style/base.css'

applyTheme(storedTheme())
const queryClient = createQueryClient()
const i18n = await createLocale(storedLanguage())

createApp(AppRoot).use(VueQueryPlugin, { queryClient }).use(i18n).use(createPages(queryClient)).mount('#app')

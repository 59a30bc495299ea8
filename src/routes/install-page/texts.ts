import type { InstallPageFacts } from './options.ts'

/** Error as shown to a user: what happened and what to do next. */
export interface ErrorText {
  title: string
  advice: string
}

export interface PageTexts {
  installing: string
  installed: string
  confirmed: string
  stored: (domain: string) => string
  subscribed: string
  refused: (events: string) => string
  finishing: string
  finished: string
  close: string
  /** Bitrix24's script is not loaded or does not respond. */
  stuck: ErrorText
  noScript: string
  /** Texts by error code. */
  errors: Readonly<Record<string, ErrorText>>
  /** The install is stored, but the portal is not subscribed. */
  unsubscribed: ErrorText
  /** Other errors: permanent and temporary. */
  refusedPage: ErrorText
  failed: ErrorText
}

const en: PageTexts = {
  installing: 'Installing the app',
  installed: 'The app is installed',
  confirmed: 'Bitrix24 has confirmed the installation',
  stored: domain => `The app is connected to ${domain}`,
  subscribed: 'The app receives the changes that it needs',
  refused: events => `Not among the permissions of the app: ${events}`,
  finishing: 'Bitrix24 is finishing the installation…',
  finished: 'The installation is finished',
  close: 'Nothing more is to be done here. You can close this page.',
  stuck: { title: 'The installation is not finished', advice: 'Bitrix24 does not answer this page. Open the app again from the menu of your Bitrix24, not by its address.' },
  noScript: 'Turn on JavaScript in your browser and open the app again: without it, Bitrix24 cannot finish the installation.',
  errors: {
    FST_B24_NOT_ADMIN: { title: 'An administrator has to install this app', advice: 'Ask an administrator of your Bitrix24 to open it once. After that, it works for everybody who may use it.' },
    FST_B24_FORBIDDEN: { title: 'Bitrix24 did not confirm this page', advice: 'Open the app again from the menu of your Bitrix24. If that does not help, remove the app and install it again.' },
    FST_B24_PORTAL_SUSPENDED: { title: 'The plan of your Bitrix24 does not include apps', advice: 'Renew or change the plan, then open the app again.' },
    FST_B24_PRIVATE_ADDRESS: { title: 'The app cannot reach your Bitrix24', advice: 'Its address is inside a private network. Ask the developer of the app to allow it.' },
    FST_B24_INSTALL_PENDING: { title: 'The installation takes longer than usual', advice: 'Nothing is lost. Wait a minute, then reload this page.' }
  },
  unsubscribed: { title: 'The app is stored, but does not receive changes yet', advice: 'Wait a minute, then reload this page. If that does not help, tell the developer of the app what stands below.' },
  refusedPage: { title: 'This page cannot be shown', advice: 'Open the app from the menu of your Bitrix24.' },
  failed: { title: 'This does not work right now', advice: 'Nothing is lost. Wait a minute, then reload this page.' }
}

const ru: PageTexts = {
  installing: 'Установка приложения',
  installed: 'Приложение установлено',
  confirmed: 'Битрикс24 подтвердил установку',
  stored: domain => `Приложение подключено к ${domain}`,
  subscribed: 'Приложение получает нужные ему изменения',
  refused: events => `Нет среди прав приложения: ${events}`,
  finishing: 'Битрикс24 завершает установку…',
  finished: 'Установка завершена',
  close: 'Больше ничего делать не нужно. Эту страницу можно закрыть.',
  stuck: { title: 'Установка не завершена', advice: 'Битрикс24 не отвечает этой странице. Откройте приложение ещё раз из меню вашего Битрикс24, а не по адресу.' },
  noScript: 'Включите JavaScript в браузере и откройте приложение ещё раз: без него Битрикс24 не может завершить установку.',
  errors: {
    FST_B24_NOT_ADMIN: { title: 'Это приложение должен установить администратор', advice: 'Попросите администратора вашего Битрикс24 один раз открыть его. После этого оно будет работать у всех, кому оно доступно.' },
    FST_B24_FORBIDDEN: { title: 'Битрикс24 не подтвердил эту страницу', advice: 'Откройте приложение ещё раз из меню вашего Битрикс24. Если не поможет, удалите приложение и установите его снова.' },
    FST_B24_PORTAL_SUSPENDED: { title: 'Тариф вашего Битрикс24 не включает приложения', advice: 'Продлите или смените тариф, затем откройте приложение ещё раз.' },
    FST_B24_PRIVATE_ADDRESS: { title: 'Приложению недоступен ваш Битрикс24', advice: 'Его адрес находится в частной сети. Попросите разработчика приложения разрешить его.' },
    FST_B24_INSTALL_PENDING: { title: 'Установка идёт дольше обычного', advice: 'Ничего не потеряно. Подождите минуту и обновите эту страницу.' }
  },
  unsubscribed: { title: 'Приложение сохранено, но пока не получает изменений', advice: 'Подождите минуту и обновите эту страницу. Если не поможет, сообщите разработчику приложения то, что указано ниже.' },
  refusedPage: { title: 'Эту страницу нельзя показать', advice: 'Откройте приложение из меню вашего Битрикс24.' },
  failed: { title: 'Сейчас не получается', advice: 'Ничего не потеряно. Подождите минуту и обновите эту страницу.' }
}

/** Returns the texts for a language: Russian for `ru`, English for any other. */
export function textsOf (lang: string): { code: 'en' | 'ru', texts: PageTexts } {
  return lang === 'ru' ? { code: 'ru', texts: ru } : { code: 'en', texts: en }
}

/** Permanent errors. */
const PERMANENT = ['FST_B24_REAUTH_REQUIRED', 'FST_B24_PORTAL_GONE', 'FST_B24_PORTAL_CALL']

/** Returns the text of an error. */
export function errorText (texts: PageTexts, { error, portal }: InstallPageFacts): ErrorText {
  const { code, statusCode } = error as NonNullable<typeof error>
  if (portal !== undefined) return texts.unsubscribed
  const isPermanent = PERMANENT.includes(code) || (statusCode < 500 && statusCode !== 429)
  return texts.errors[code] ?? (isPermanent ? texts.refusedPage : texts.failed)
}

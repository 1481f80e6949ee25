/** Settings of main.cf that have no counterpart: why none is needed, or what to do instead. */

/** Null: it means something that is not kept. */
export function whyIrrelevant(name: string, value: string): string | null {
  for (const [pattern, why] of irrelevant) if (pattern.test(name)) return why
  const known = harmless.get(name)
  return known !== undefined && known.values.includes(value) ? known.why : null
}

export function remedyOfSetting(name: string): string {
  for (const [pattern, remedy] of remedies) if (pattern.test(name)) return remedy
  return 'Tollgate has no such setting: docs/configuration.md lists all that there are.'
}

const irrelevant: [RegExp, string][] = [
  [/_directory$|^(mail_owner|setgid_group|mail_name|mail_version|compatibility_level|default_privs|.*_path)$/, 'of the installation of Postfix'],
  [/^maillog_|^syslog_|^debug_peer_|^debugger_command|^smtpd?_tls_loglevel$/, 'Tollgate writes an event log of its own'],
  [/^(alias_maps|alias_database|local_|mailbox_|home_mailbox|biff|recipient_delimiter|luser_relay|forward_path|mail_spool_)/, 'of local mailboxes, and Tollgate has none'],
  [/session_cache|^smtpd_tls_received_header|^tls_random|^smtpd?_tls_CA(path|file)$/, 'TLS of Node does it by itself'],
  [/^(append_dot_mydomain|append_at_myorigin|readme_directory|html_directory|notify_classes|delay_warning_time|in_flow_delay|qmgr_|default_process_limit)/, 'Tollgate works another way and needs no such setting'],
  [/^smtpd_(delay_reject|helo_required|banner|error_sleep_time|soft_error_limit)$/, 'Tollgate always asks for HELO, has a greeting of its own, and tells a refusal as early as it can'],
  [/^(disable_vrfy_command|strict_rfc821_envelopes|show_user_unknown_table_name)$/, 'Tollgate always does so'],
  [/^smtpd_(forbid_bare_newline|forbid_unauth_pipelining|forbid_bare_newline_exclusions)$/, 'bare line ends and commands out of turn are refused, always'],
]
const harmless = new Map([
  ['smtpd_sasl_auth_enable', { values: ['no'], why: 'nobody logs in' }],
  ['inet_protocols', { values: ['all', 'ipv4', 'ipv6'], why: 'the addresses of smtp.listen say it' }],
])
const remedies: [RegExp, string][] = [
  [/^mydestination$/, 'Tollgate has no mailboxes: list such a domain under recipients.domains, with a route to a server that has them.'],
  [/milter/, 'Connect the filter itself: docs/plugins.md has clamd, rspamd, DKIM signing and HTTP.'],
  [/^(content_filter|receive_override_options|smtpd_proxy_filter)$/, 'Scanners look at the message before it is accepted here: docs/plugins.md.'],
  [/^smtpd_sasl/, 'Users stand in the file of smtp.users; passwords are set anew by `tollgate gateway hash-password`.'],
  [/^smtp_sasl/, 'Tollgate does not log in at next hops: let the next hop know this machine by its address.'],
  [/^postscreen_/, 'For early talkers set smtp.greetingDelayMs; for block lists see checks.dnsLists (docs/checks.md).'],
  [/^(body|mime_header|nested_header|smtp_header|milter_header)_checks$/, 'Rules see header fields and attachments, a plug-in sees the body: docs/rules.md, docs/plugins.md.'],
  [/canonical|^masquerade_|generic_maps/, 'Tollgate rewrites no addresses: let the server behind it do so.'],
  [/_bcc_maps$|^always_bcc$/, 'Write a rule with `copy`, or use plugins.archive.'],
  [/^smtpd_client_(connection|message|recipient|auth)|^anvil_/, 'See smtp.limits.sessionsPerNetwork and checks.rates.'],
  [/^smtpd_tls_/, 'See smtp.tls and networks[].minTls; ciphers are those of Node.'],
  [/^smtp_tls_/, 'See `tls` of each route.'],
  [/backoff|lifetime|queue_run/, 'See delivery.firstRetrySeconds, lastRetrySeconds and expireHours.'],
]

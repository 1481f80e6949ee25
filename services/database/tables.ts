/**
 * The tables as Kysely sees them: migrations/*.sql are the definition, this mirrors them for one-row work.
 *
 * int8 arrives as bigint, timestamptz as Date, jsonb parsed, bytea as Buffer; int8multirange and tstzrange as text.
 */
import type { Generated, GeneratedAlways, JSONColumnType } from 'kysely'

type Json = JSONColumnType<Record<string, unknown>>
/** Written as number or bigint, read as bigint. */
type Count = import('kysely').ColumnType<bigint, bigint | number, bigint | number>

export interface Tables {
  tenant: { tenant_id: string; recipient_key: Buffer; is_demo: Generated<boolean>; created_at: Generated<Date> }
  log_boot: {
    tenant_id: string
    node: string
    boot: string
    boot_number: Count | null
    seqs: Generated<string>
    newest_at: Date | null
    complete_at: Date | null
    previous_boot: string | null
    previous_seq: Count | null
    previous_ended_cleanly: boolean | null
    ended_cleanly: Generated<boolean>
  }
  log_segment: {
    tenant_id: string
    node: string
    boot: string
    segment: Count
    previous_seq: Count
    position_bytes: Generated<bigint>
    file_name: string
    updated_at: Generated<Date>
  }
  log_gap_accepted: {
    tenant_id: string
    node: string
    boot: string
    seqs: string
    accepted_by: string
    reason: string
    accepted_at: Generated<Date>
  }
  ingest_batch: {
    tenant_id: string
    batch_id: GeneratedAlways<bigint>
    from_time: Date | null
    upto_time: Date | null
    transaction_count: Count
    event_count: Count
    ingested_at: Generated<Date>
  }
  rejected_line: {
    tenant_id: string
    rejected_id: GeneratedAlways<bigint>
    reason: string
    detail: string
    file_name: string
    position_bytes: Count
    digest: Buffer
    line: Buffer
    rejected_at: Generated<Date>
  }
  log_source: { tenant_id: string; source: string; host: string; node: string; boot: string; newest_at: Date }
  log_source_thread: {
    tenant_id: string
    source: string
    thread: string
    has_beginning: boolean
    host: string
    lines: JSONColumnType<[number, string, boolean][]>
  }
  log_source_file: {
    tenant_id: string
    source: string
    path: string
    head_digest: Buffer
    head_bytes: Count
    position_bytes: Count
    updated_at: Generated<Date>
  }
  gateway_event: {
    tenant_id: string
    node: string
    boot: string
    seq: Count
    at: Date
    kind: string
    transaction_id: string | null
    event_hash: Count
    event: Json
  }
  policy_version: { tenant_id: string; part: string; hash: string; content: Json; first_loaded_at: Date }
  mail_transaction: {
    tenant_id: string
    transaction_id: string
    id_time: Date
    ended_at: Date
    batch_id: Count
    node: string
    boot: string
    seq: Count
    event_hash: Count
    source: string
    remote_ip: string | null
    remote_name: string | null
    remote_country: string | null
    network_class: string
    network_name: string | null
    helo: string | null
    auth_user: string | null
    sender: string | null
    sender_domain: string | null
    subject: string | null
    message_id: string | null
    outcome: string
    stage: string
    reason: string | null
    deciding_rule_id: string | null
    reply_code: number | null
    reply_text: string | null
    declared_bytes: Count | null
    message_bytes: Count | null
    data_bytes: Count
    size_source: string
    weight_milli: number
    recipient_count: number
    accepted_count: number
    attachment_count: number
    digest: string | null
    duplicate_of: string | null
  }
  transaction_recipient: {
    tenant_id: string
    transaction_id: string
    id_time: Date
    position: number
    batch_id: Count
    address: string
    domain: string
    recipient_id: string
    direction: string
    outcome: string
    reason: string | null
    reply_code: number
    client_id: string | null
  }
  rule_hit: {
    tenant_id: string
    transaction_id: string
    id_time: Date
    position: number
    rule_id: string
    revision: number
    stage: string
    recipient_position: number | null
    branch: string
    action: string
    weight_milli: number
    is_shadow: boolean
  }
  transaction_detail: { tenant_id: string; transaction_id: string; id_time: Date; event: Json }
  delivery_attempt: {
    tenant_id: string
    transaction_id: string
    id_time: Date
    boot: string
    seq: Count
    event_hash: Count
    ended_at: Date
    next_host: string
    delivered_count: number
    deferred_count: number
    failed_count: number
    event: Json
  }
  message_finished: {
    tenant_id: string
    transaction_id: string
    id_time: Date
    boot: string
    seq: Count
    event_hash: Count
    finished_at: Date
    delivered_count: number
    failed_count: number
    expired_count: number
    event: Json
  }
  session_closed: {
    tenant_id: string
    session_id: string
    closed_at: Date
    event_hash: Count
    remote_ip: string | null
    network_class: string
    closed_by: string
    received_bytes: Count
    sent_bytes: Count
    transaction_count: number
    violation_count: number
    event: Json
  }
  client: {
    tenant_id: string
    client_id: string
    name: string
    parent_id: string | null
    state: Generated<string>
    created_at: Generated<Date>
  }
  client_address: { tenant_id: string; address: string; client_id: string; valid: string }
  network_client: { tenant_id: string; network_name: string; client_id: string; valid: string }
  billing_policy: {
    tenant_id: string
    valid_from: Date
    revision: Generated<number>
    mode: 'full' | 'split'
    unit_bytes: Count
    time_zone: string
    currency: string
    bills_refused_content: boolean
    bills_duplicates: boolean
    lowers_local_part: boolean
  }
  recipient_name: { tenant_id: string; recipient_id: string; address: string | null; domain: string | null }
  usage_entry: {
    tenant_id: string
    transaction_id: string
    id_time: Date
    recipient_id: string
    correction: Generated<bigint>
    ended_at: Date
    client_id: string | null
    direction: string
    full_bytes: Count
    split_bytes: Count
    is_billable: boolean
    reason: string | null
    size_source: string
  }
  metered_batch: { tenant_id: string; batch_id: Count; entry_count: Count; metered_at: Generated<Date> }
  user_account: {
    tenant_id: string
    name: string
    role: 'admin' | 'operator' | 'accountant' | 'viewer' | 'client'
    client_id: string | null
    password_hash: string
    created_at: Generated<Date>
  }
  login_session: {
    token_hash: Buffer
    tenant_id: string
    name: string
    csrf_token: string
    created_at: Generated<Date>
    expires_at: Date
  }
  audit_record: {
    tenant_id: string
    audit_id: GeneratedAlways<bigint>
    at: Generated<Date>
    actor: string
    action: string
    subject: string | null
    detail: Json | null
  }
  ruleset_version: {
    tenant_id: string
    version: Count
    ruleset_hash: string
    ruleset: Json
    source_text: string
    published_at: Generated<Date>
    published_by: string
    note: string | null
    reverts: Count | null
  }
  ruleset_draft: {
    tenant_id: string
    revision: Count
    source_text: string | null
    changed_at: Generated<Date>
    changed_by: string
  }
  retention_policy: {
    tenant_id: string
    detail_days: number | null
    subject_days: number | null
    message_days: number | null
    total_days: number | null
    usage_days: number | null
    audit_days: number | null
    updated_at: Generated<Date>
  }
}

/**
 * Headers that a gateway does not log unless a rule asks for them: signatures and traces, long and different in every
 * message.
 *
 * Why  here for both: the gateway leaves them out by it, and a replay knows by it of which the log tells nothing.
 */
export const unloggedHeaderNames = new RegExp(
  '^(dkim-signature|domainkey-signature|arc-.+|x-received|x-google-.+|x-gm-.+|x-ms-exchange-.+' +
    '|x-microsoft-.+|x-forefront-.+)$',
)

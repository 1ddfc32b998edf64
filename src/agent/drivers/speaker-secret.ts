/** Passwords of BGP sessions: read from a file of the host when a configuration is written, and nowhere else. */
import { RomanaError } from '#core/errors.ts';
import type { BgpIntent } from '#core/routing/model.ts';
import type { SpeakerFiles } from './speaker-files.ts';

/** File → password. */
export type Passwords = ReadonlyMap<string, string>;

/** What the kernel's TCP MD5 keys hold (TCP_MD5SIG_MAXKEYLEN). */
const LONGEST = 80;

/**
 * Only what every daemon's configuration can hold without quoting tricks: printable ASCII without blanks, quotes, `#`, `!`, `;`, `$`,
 * `\`, `{` and `}`. The same for all daemons, so that a change of the daemon never asks for another password.
 */
const USABLE = /^[A-Za-z0-9%&()*+,\-./:<=>?@[\]^_`|~]+$/;

/** Throws speaker_secret, never with what the file holds. */
export async function readPasswords(
  files: Pick<SpeakerFiles, 'read'>,
  intent: BgpIntent,
): Promise<Passwords> {
  const passwords = new Map<string, string>();
  for (const { passwordFile } of intent.peers) {
    if (passwordFile === null || passwords.has(passwordFile)) continue;
    passwords.set(passwordFile, await readPassword(files, passwordFile));
  }
  return passwords;
}

async function readPassword(files: Pick<SpeakerFiles, 'read'>, path: string): Promise<string> {
  let text: string | null;
  try {
    text = await files.read(path);
  } catch (error) {
    throw secretError(path, `cannot be read: ${(error as Error).message.replace(/\.$/, '')}`);
  }
  if (text === null) throw secretError(path, 'is missing');
  const password = text.replace(/\r?\n$/, '');
  if (password === '') throw secretError(path, 'is empty');
  if (Buffer.byteLength(password) > LONGEST) throw secretError(path, `holds more than ${LONGEST} bytes`);
  if (!USABLE.test(password)) {
    throw secretError(
      path,
      'holds a character that not every daemon takes; use one line of letters, digits and %&()*+,-./:<=>?@[]^_`|~',
    );
  }
  return password;
}

function secretError(path: string, what: string): RomanaError {
  return new RomanaError('speaker_secret', `The password file ${path} ${what}.`, { details: { path } });
}

/** The password of a peer, or null where its sessions have none. */
export function passwordOf(
  passwords: Passwords,
  peer: { readonly passwordFile: string | null },
): string | null {
  if (peer.passwordFile === null) return null;
  const password = passwords.get(peer.passwordFile);
  if (password === undefined)
    throw new RomanaError('internal', `The password of ${peer.passwordFile} was not read.`);
  return password;
}

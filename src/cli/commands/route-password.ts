/** The password of BGP sessions in the configuration of a device: read here, put in here, told to nobody. */
import { readFileSync } from 'node:fs';
import { usage } from '../exit.ts';

const placeholder = 'ROMANA-BGP-PASSWORD';

/** One line. What no device's configuration needs to quote: the text goes into languages of several makers. */
export function passwordFrom(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw usage(`Cannot read ${file}: ${reason}.`);
  }
  const password = text.replace(/\r?\n$/, '');
  if (!/^[A-Za-z0-9_.:,+/=@%^*()-]{1,80}$/.test(password))
    throw usage(
      `The password in ${file} is not one line of 1 to 80 letters, digits and _ . : , + / = @ % ^ * ( ) -; the configuration languages of devices read other characters differently.`,
    );
  return password;
}

export function withPassword(text: string, password: string): string {
  return text.replaceAll(placeholder, () => password);
}

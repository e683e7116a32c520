/** The settings of an SMPP operator as operator.json's defaults have them, with a test's own on top. */
import { parseOperators, type SmppSettings } from '../../../shared/sms/operators.ts';

export function smppSettings(over: Partial<SmppSettings> = {}): SmppSettings {
  const read = parseOperators({
    operators: {
      MCI: {
        prefixes: ['912'],
        connector: 'smpp',
        smpp: { host: '127.0.0.1', system_id: 'mci', password: 'mci' },
      },
    },
  });
  const operator = read.ok ? read.file.operators[0] : undefined;
  if (operator?.connector !== 'smpp') throw new Error('the defaults are not readable');
  return { ...operator.smpp, ...over };
}

import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { maskPhone, parsePhone } from '../../../shared/sms/phone.ts';

const SAME = '+989121234567';

describe('one number in every form that people write', () => {
  for (const written of [
    '09121234567',
    '9121234567',
    '989121234567',
    '+989121234567',
    '00989121234567',
    '۰۹۱۲۱۲۳۴۵۶۷',
    '٠٩١٢١٢٣٤٥٦٧',
    '+۹۸۹۱۲۱۲۳۴۵۶۷',
    '۰۹12١٢٣4567',
    '0912 123 4567',
    ' 09121234567 ',
    '0912-123-4567',
    '0912–123—4567',
    '0912\u20111234567',
    '(0912) 1234567',
    '[+98] 912 1234567',
    '(+98) 912-123-45-67',
    '+98 912\u00a0123\u202f4567',
    `${' '.repeat(53)}09121234567`,
  ]) {
    test(`${JSON.stringify(written)} is ${SAME}`, () => expect(parsePhone(written)).toBe(SAME));
  }

  test('ten digits that begin with 98 are a national number and not a country code', () => {
    expect(parsePhone('9812345678')).toBe('+989812345678');
    expect(parsePhone('09812345678')).toBe('+989812345678');
    expect(parsePhone('989812345678')).toBe('+989812345678');
  });
});

describe('what is not an Iranian mobile number is refused', () => {
  for (const written of [
    '',
    ' ',
    '+',
    '0',
    '912123456',
    '91212345678',
    '0912123456',
    '091212345678',
    '02112345678',
    '+982112345678',
    '00982112345678',
    '8121234567',
    '+19121234567',
    '+9121234567',
    '+09121234567',
    '+00989121234567',
    '009121234567',
    '9809121234567',
    '+9809121234567',
    '++989121234567',
    '0+9121234567',
    '989+121234567',
    '0912123456x',
    '09121234567;',
    '0912.123.4567',
    '0912/1234567',
    '0912_1234567',
    '09121234567\n',
    '0912\t1234567',
    '\u200e09121234567',
    '０９１２１２３４５６７',
    '०९१२१२३४५६७',
    '9e9',
    '-9121234567x',
    'null',
    '[object Object]',
    `${' '.repeat(54)}09121234567`,
    '0'.repeat(10_000_000),
  ]) {
    test(JSON.stringify(written.slice(0, 20)), () => expect(parsePhone(written)).toBeNull());
  }
});

const national = fc.stringMatching(/^9[0-9]{9}$/);

test('whatever is read is E.164, and reading it again changes nothing', () => {
  const near = fc.string({ unit: fc.constantFrom(...'0123456789۰۹٠٩+- ()[]98989'), maxLength: 20 });
  fc.assert(
    fc.property(fc.oneof(near, fc.string()), (written) => {
      const phone = parsePhone(written);
      if (phone === null) return;
      expect(phone).toMatch(/^\+989[0-9]{9}$/);
      expect(parsePhone(phone)).toBe(phone);
    }),
    { numRuns: 2_000 },
  );
});

test('forms, scripts and separators never change the number', () => {
  const scripts = ['0123456789', '۰۱۲۳۴۵۶۷۸۹', '٠١٢٣٤٥٦٧٨٩'];
  fc.assert(
    fc.property(
      national,
      fc.constantFrom('', '0', '98', '+98', '0098'),
      fc.array(fc.tuple(fc.constantFrom(0, 1, 2), fc.constantFrom('', ' ', '-', '(', ')')), {
        minLength: 15,
        maxLength: 15,
      }),
      (digits, form, style) => {
        const written = [...(form + digits)].map((character, at) => {
          const [script, separator] = style[at] as [number, string];
          return (character === '+' ? '+' : (scripts[script]?.[Number(character)] as string)) + separator;
        });
        expect(parsePhone(written.join(''))).toBe(`+98${digits}`);
      },
    ),
  );
});

describe('logs', () => {
  test('a masked number keeps its prefix and its last two digits', () =>
    expect(maskPhone('+989121234567')).toBe('+98912*****67'));

  test('what is not a number of ours is hidden whole', () => {
    for (const other of ['', '09121234567', '+98912123456', '+9891212345678', 'a text'])
      expect(maskPhone(other)).toBe('***');
  });

  test('five digits of every number are hidden', () => {
    fc.assert(
      fc.property(national, (digits) => {
        const masked = maskPhone(`+98${digits}`);
        expect(masked.replaceAll(/[^0-9]/g, '')).toBe(`98${digits.slice(0, 3)}${digits.slice(-2)}`);
      }),
    );
  });
});

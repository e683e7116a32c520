/** Records that nobody can read: of no form, of another form, and of one that ends where it should go on. */
export const POISON: readonly (string | Buffer | null)[] = [
  null,
  '',
  'no JSON',
  '{"id":',
  '[]',
  '{}',
  'null',
  '"text"',
  '{"kind":"status"}',
  '{"kind":"receipt","operator":"MCI","operator_id":7,"status":"delivered","at":1}',
  '{"id":"x","user_id":1,"attempt":"1"}',
  '{"transaction_id":"x","amount":1e308}',
  Buffer.from([0xff, 0xfe, 0x00, 0x80]),
  'x'.repeat(300_000),
  '['.repeat(50_000),
];

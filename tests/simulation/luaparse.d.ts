/** The part of luaparse that lua.ts uses. */
declare module 'luaparse' {
  export type Identifier = { type: 'Identifier'; name: string };
  export type Expression =
    | Identifier
    | { type: 'StringLiteral'; value: string | null; raw: string }
    | { type: 'NumericLiteral'; value: number }
    | { type: 'BooleanLiteral'; value: boolean }
    | { type: 'NilLiteral' }
    | {
        type: 'FunctionDeclaration';
        identifier: Identifier | null;
        isLocal: boolean;
        parameters: Identifier[];
        body: Statement[];
      }
    | { type: 'TableConstructorExpression'; fields: Field[] }
    | { type: 'BinaryExpression' | 'LogicalExpression'; operator: string; left: Expression; right: Expression }
    | { type: 'UnaryExpression'; operator: string; argument: Expression }
    | { type: 'MemberExpression'; indexer: string; identifier: Identifier; base: Expression }
    | { type: 'IndexExpression'; base: Expression; index: Expression }
    | { type: 'CallExpression'; base: Expression; arguments: Expression[] };
  export type Field =
    | { type: 'TableKeyString'; key: Identifier; value: Expression }
    | { type: 'TableKey'; key: Expression; value: Expression }
    | { type: 'TableValue'; value: Expression };
  export type Clause = { type: 'IfClause' | 'ElseifClause' | 'ElseClause'; condition?: Expression; body: Statement[] };
  export type Statement =
    | { type: 'LocalStatement'; variables: Identifier[]; init: Expression[] }
    | { type: 'AssignmentStatement'; variables: Expression[]; init: Expression[] }
    | { type: 'CallStatement'; expression: Expression }
    | Extract<Expression, { type: 'FunctionDeclaration' }>
    | { type: 'ReturnStatement'; arguments: Expression[] }
    | { type: 'IfStatement'; clauses: Clause[] }
    | {
        type: 'ForNumericStatement';
        variable: Identifier;
        start: Expression;
        end: Expression;
        step: Expression | null;
        body: Statement[];
      }
    | { type: 'ForGenericStatement'; variables: Identifier[]; iterators: Expression[]; body: Statement[] }
    | { type: 'WhileStatement'; condition: Expression; body: Statement[] }
    | { type: 'DoStatement'; body: Statement[] }
    | { type: 'BreakStatement' };
  export function parse(
    code: string,
    options: { luaVersion: '5.1'; comments: boolean; encodingMode: 'x-user-defined' | 'none' },
  ): { type: 'Chunk'; body: Statement[] };
}

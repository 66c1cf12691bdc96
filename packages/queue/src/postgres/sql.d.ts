// A `.sql` file is imported as its text.
declare module "*.sql" {
  const sql: string;
  export default sql;
}

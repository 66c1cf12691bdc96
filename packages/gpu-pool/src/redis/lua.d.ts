// A `.lua` file is imported as its text.
declare module "*.lua" {
  const lua: string;
  export default lua;
}

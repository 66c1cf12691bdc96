// What is imported with `?page` is bundled for browsers, and imported as that bundle's text.
declare module "*?page" {
  const text: string;
  export default text;
}

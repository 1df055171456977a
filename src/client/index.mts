/** The same for `import`: one instance of each class, however it is loaded. */
export * from './index.js';

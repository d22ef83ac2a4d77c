// What an operator reads when a file cannot be written.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { writeFailure } from '../../src/core/file-errors.ts';
import { createFolder } from '../support/folder.ts';

describe('core/file-errors', () => {
  it('says which folder is missing and to create it', () => {
    expect(writeFailure('ENOENT', '/nowhere/aritma/secret')).toEqual({
      cause: 'folder_missing',
      message: 'the folder /nowhere/aritma does not exist (ENOENT)',
      fix: 'create /nowhere/aritma, owned by the user that runs this program',
    });
  });

  it('leaves ENOENT to the general words where the folder is there, as for a link to nowhere', () => {
    using folder = createFolder();
    expect(writeFailure('ENOENT', join(folder.path, 'secret'))).toBeUndefined();
  });

  it.each([
    ['EACCES', 'folder_not_writable', /chown/],
    ['EROFS', 'folder_not_writable', /ReadWritePaths/],
    ['ENOSPC', 'disk_full', /free space/],
    ['EBUSY', 'file_mounted', /mount its folder/],
    ['EPERM', 'file_of_another_user', /as the owner/],
    ['ENOTDIR', 'folder_missing', /correct the path/],
  ])('says of %s what to do', (errno, cause, fix) => {
    expect(writeFailure(errno, '/etc/aritma/secret')).toMatchObject({
      ...{ cause, message: expect.stringContaining(errno), fix: expect.stringMatching(fix) },
    });
  });

  it('says nothing of what it does not know', () => {
    expect(writeFailure('EIO', '/etc/aritma/secret')).toBeUndefined();
  });
});
